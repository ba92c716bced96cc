// Rows of weights as E4M3 under scales of rows or tiles, and what was lost.
#pragma once

#include <cstdint>
#include <span>

#include "tensor/dtype.h"
#include "tensor/matrix.h"
#include "tools/convert/row_stream.h"

namespace sluice::quantize {

// How a matrix of so many columns is cut into parts with one scale each: 128 x 128 or whole rows.
struct Fp8Parts {
  Fp8Parts(Format format, int64_t matrix_columns, DType stored_type, bool searched);

  int64_t columns, height, width;
  int64_t across;  // parts side by side
  DType stored;    // of the scales: BF16 or F32
  bool search;     // of row scales

  // Parts of so many rows, the first of which begins a part.
  int64_t count(int64_t rows) const { return (rows + height - 1) / height * across; }
};

// Scales as they are stored, row by row of parts, of rows the first of which begins a part.
void find_fp8_scales(const Fp8Parts& parts, std::span<const float> values, std::span<float> scales);

// Scales, codes (a byte a value), errors and norms of rows the first of which begins a part; errors
// and norms are added to the rows' sums. A value that is not finite makes its row's norm infinite
// or NaN, and nothing else that is of use.
void encode_fp8_rows(const Fp8Parts& parts, std::span<const float> values, std::span<float> scales,
                     uint8_t* codes, std::span<convert::ErrorSum> sums);

}  // namespace sluice::quantize
