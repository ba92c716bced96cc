// E4M3 matrices with float scales: per 128x128 tile, per row, or one
// (spec/formats-safetensors.md 3.2, 3.4, 3.10).
//
// Layout: codes F8_E4M3 [N, K], one per byte, row-major. Scales multiply, in BF16, F16, F32, or as
// powers of two:
//   fp8_block    [ceil(N/128), ceil(K/128)], tiles at the edges smaller, scales never padded
//   fp8_channel  [N, 1] or [1, N]
//   fp8_tensor   one
#pragma once

#include <array>
#include <cstdint>

#include "tensor/matrix.h"

namespace sluice::codec {

// A tile is 128 by definition. Deriving it as rows / scale rows reads edge tiles wrongly.
inline constexpr int64_t kFp8Tile = 128;

// Rows [first, first + count) of a checked matrix of one of the three formats: value(code) * scale,
// one rounding. `values` is kE4m3Values or kE4m3ValuesNanAsZero.
void decode_fp8_rows(const EncodedMatrix& matrix, int64_t first, int64_t count,
                     const std::array<float, 256>& values, float* out);

}  // namespace sluice::codec
