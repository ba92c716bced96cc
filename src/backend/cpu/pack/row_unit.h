// One row's share of a packed unit, before it is spread over its lane.
#pragma once

#include <cstdint>

#include "backend/cpu/product.h"
#include "tensor/matrix.h"

namespace sluice::cpu {

// Bytes in the order of product.h's sections; a format fills those that its UnitShape has.
struct RowUnit {
  uint8_t codes[kFloatColumns * 4];  // dwords in line order (F16: halves in column order)
  uint8_t super[4];                  // f16 d, f16 dmin
  uint8_t scales[16 * 4];            // scale_groups elements of scale_bytes(kind); kK4: 12 bytes
  uint8_t mins[16 * 2];              // scale_groups elements of min_bytes(kind)
};

int scale_bytes(ScaleKind kind);
int min_bytes(MinKind kind);

// Reads row `row`, columns [unit * shape.columns, ...) of the source. What lies beyond the matrix
// stays zero.
using RowReader = void (*)(const EncodedMatrix& source, const UnitShape& shape, int64_t row,
                           int64_t unit, RowUnit& out);

// How a format is packed.
struct PackPlan {
  UnitShape shape;
  RowReader read = nullptr;
  int8_t table[16] = {};     // kNibbleTable
  float table_scale = 1.0f;  // joined to the row scales: 0.5 for tables of doubled values
  bool row_scaled = false;   // row_scales come from source.scales (a scale per row or per tensor)
};

// For every format: of ggml's, and of the rest.
PackPlan plan_ggml(const EncodedMatrix& source);
PackPlan plan_safetensors(const EncodedMatrix& source);

// Fills in the offsets and the size, from the kinds and scale_groups.
UnitShape lay_out(UnitShape shape);

// 256 codes, one a byte in column order, to the nibble and byte orders of product.h.
void join_nibbles(const uint8_t* codes, uint8_t* bytes);
void interleave_granules(const uint8_t* codes, uint8_t* bytes);

}  // namespace sluice::cpu
