// Codes of a packed unit as tiles: the B operands of integer products.
//
// Included behind a lanes-inl.h and integer_product-inl.h. A line of a unit (product.h) holds 4
// consecutive columns of 16 output rows, which is a row of a B tile; so bytes are loaded from the
// weights as they lie, and all other kinds from a panel of signed bytes.
#pragma once

#include "backend/cpu/product.h"

namespace sluice::cpu {
namespace {

// One unit, line k / 4 holding columns k .. k + 3.
struct alignas(64) TilePanel {
  uint8_t lines[kIntegerColumns / 4][kLine];
};

template <Source kSource>
SLUICE_INLINE void store_signed(uint8_t* line, Codes codes) {
  if constexpr (kSource == Source::kSix) {
    // By the compilers' vector extension, which every set of lanes has.
    int8_t values __attribute__((vector_size(kLine)));
    __builtin_memcpy(&values, &codes, sizeof values);
    values -= 32;
    __builtin_memcpy(line, &values, sizeof values);
  } else {
    Lanes::store_line(line, codes);
  }
}

template <Source kSource>
void decode_tile_panel(const uint8_t* codes, const int8_t* values, TilePanel& panel) {
  // Lanes that take unsigned codes bias the table; tiles take it as it is.
  int8_t entries[16];
  for (int i = 0; i < 16; ++i) {
    entries[i] = static_cast<int8_t>(values[i] ^ (Lanes::kSignedOffsetShift == 7 ? -128 : 0));
  }
  const Codes table = Lanes::load_table(entries);
  for (int pair = 0; pair < 4; ++pair) {
    SLUICE_UNROLL
    for (int j = 0; j < 8; ++j) {
      store_signed<kSource>(panel.lines[16 * pair + j],
                            decode_line<kSource>(codes, table, pair, 0, j));
      store_signed<kSource>(panel.lines[16 * pair + 8 + j],
                            decode_line<kSource>(codes, table, pair, 1, j));
    }
  }
}

using PanelDecoder = void (*)(const uint8_t* codes, const int8_t* values, TilePanel& panel);

// None for bytes.
PanelDecoder panel_decoder(CodeKind kind) {
  switch (kind) {
    case CodeKind::kNibble:
      return decode_tile_panel<Source::kNibble>;
    case CodeKind::kNibbleTable:
      return decode_tile_panel<Source::kNibbleTable>;
    case CodeKind::kFive:
      return decode_tile_panel<Source::kFive>;
    case CodeKind::kSix:
      return decode_tile_panel<Source::kSix>;
    default:
      return nullptr;
  }
}

// Where the B tiles of a unit lie: one of kColumns columns for each scale group.
struct TileWeights {
  const uint8_t* lines = nullptr;
  bool interleaved = false;  // lines of a pair of granules alternate, as CodeKind::kByte has them

  int64_t stride() const { return interleaved ? 2 * kLine : kLine; }
  template <int kColumns>
  const uint8_t* group(int index) const {
    const int column = kColumns * index;
    if (!interleaved) return lines + kLine * (column / 4);
    const int pair = column / 64, side = column / 32 % 2, j = column % 32 / 4;
    return lines + kLine * (16 * pair + 2 * j + side);
  }
};

}  // namespace
}  // namespace sluice::cpu
