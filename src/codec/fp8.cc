#include "codec/fp8.h"

#include <algorithm>

#include "codec/e4m3_lanes.h"
#include "codec/scales.h"

namespace sluice::codec {

void decode_fp8_rows(const EncodedMatrix& matrix, int64_t first, int64_t count,
                     const std::array<float, 256>& values, float* out) {
  const int64_t columns = matrix.columns;
  const float nan = values[0x7F];
  const auto* codes = reinterpret_cast<const uint8_t*>(matrix.codes.bytes.data()) + first * columns;
  const bool tiled = matrix.format == Format::kFp8Block;
  const int64_t width = tiled ? kFp8Tile : columns;
  const int64_t scales_per_row = tiled ? (columns + kFp8Tile - 1) / kFp8Tile : 1;
  for (int64_t row = first; row < first + count; ++row, codes += columns, out += columns) {
    const int64_t scale_row = tiled                                  ? row / kFp8Tile
                              : matrix.format == Format::kFp8Channel ? row
                                                                     : 0;
    for (int64_t tile = 0; tile < scales_per_row; ++tile) {
      const float scale = scale_at(matrix.scales, scale_row * scales_per_row + tile);
      const int64_t end = std::min(columns, (tile + 1) * width);
      for (int64_t k = tile * width; k < end; ++k) out[k] = e4m3_to_f32(codes[k], nan) * scale;
    }
  }
}

}  // namespace sluice::codec
