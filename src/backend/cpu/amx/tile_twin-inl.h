// The portable body of the tile unit (tile.h). Included by tests in front of a kernel of this
// folder, after a lanes-inl.h.
#pragma once

#include "backend/cpu/amx/tile.h"
#include "backend/cpu/amx/tile_twin.h"

namespace sluice::cpu::amx {
namespace {

struct Tiles {
  static void config(const TileConfig& config) { twin_config(config); }
  static void release() { twin_release(); }

  template <int kTile>
  static void zero() {
    static_assert(is_tile<kTile>());
    twin_zero(kTile);
  }
  template <int kTile>
  static void load(const void* base, int64_t stride) {
    static_assert(is_tile<kTile>());
    twin_load(kTile, base, stride);
  }
  template <int kTile>
  static void store(void* base, int64_t stride) {
    static_assert(is_tile<kTile>());
    twin_store(kTile, base, stride);
  }

  template <int kC, int kA, int kB>
  static void dpbssd() {
    static_assert(are_operands<kC, kA, kB>());
    twin_dot_bytes(kC, kA, kB, true, true);
  }
  template <int kC, int kA, int kB>
  static void dpbsud() {
    static_assert(are_operands<kC, kA, kB>());
    twin_dot_bytes(kC, kA, kB, true, false);
  }
  template <int kC, int kA, int kB>
  static void dpbusd() {
    static_assert(are_operands<kC, kA, kB>());
    twin_dot_bytes(kC, kA, kB, false, true);
  }
  template <int kC, int kA, int kB>
  static void dpbuud() {
    static_assert(are_operands<kC, kA, kB>());
    twin_dot_bytes(kC, kA, kB, false, false);
  }
  template <int kC, int kA, int kB>
  static void dpbf16ps() {
    static_assert(are_operands<kC, kA, kB>());
    twin_dot_bf16(kC, kA, kB);
  }
};

}  // namespace
}  // namespace sluice::cpu::amx
