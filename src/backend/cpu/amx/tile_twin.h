// The tile unit in portable C++: a state of eight tiles per thread, with the results and the
// faults of the hardware (spec/cpu-kernels-avx2.md section 8). For tests; kernels reach it through
// tile_twin-inl.h.
#pragma once

#include <cstdint>

#include "backend/cpu/amx/tile.h"
#include "base/check.h"

namespace sluice::cpu::amx {

// Rules whose breach is an illegal instruction or a protection fault on hardware.
enum class TileRule : uint8_t {
  kConfigured,       // no tile instruction before a configuration or after a release
  kPalette,          // 0 (as release) or 1
  kReserved,         // bytes that must be zero, shapes of tiles 8 and above among them
  kStartRow,         // 0: hardware uses it to go on after an interrupted load, we never do
  kRowsAndColumns,   // both or neither
  kRowCount,         // at most 16
  kColumnBytes,      // at most 64
  kShape,            // a tile that is used has rows
  kColumnsOfDwords,  // in products: column bytes are a multiple of 4
  kRowsOfCAndA,      // equal
  kColumnsOfCAndB,   // equal
  kDepth,            // A has 4 bytes of columns per row of B
};

// What the twin throws where the hardware would fault. The instruction has done nothing.
class TileFault : public ContractViolation {
 public:
  explicit TileFault(TileRule rule);
  TileRule rule() const { return rule_; }

 private:
  TileRule rule_;
};

// Of the calling thread. Tile numbers are below kTiles: the interface checks them when compiled.
void twin_config(const TileConfig& config);
void twin_release();
void twin_zero(int tile);
void twin_load(int tile, const void* base, int64_t stride);
void twin_store(int tile, void* base, int64_t stride);
void twin_dot_bytes(int c, int a, int b, bool a_is_signed, bool b_is_signed);
// In the order of the vendor's manual, not compared with hardware: per output two sums, of the even
// and of the odd elements of the pairs, each a chain of fused multiply-adds over ascending k; then
// even + odd; then added to C. Each step rounds to nearest even and takes denormal inputs and
// results as zero. Rounding comes before flushing here; hardware may differ for a sum that rounds
// up to the smallest normal number.
void twin_dot_bf16(int c, int a, int b);

// Products since the thread's first, so that a test knows that a kernel used tiles.
int64_t twin_products();

}  // namespace sluice::cpu::amx
