#include "codec/mx.h"

#include "codec/number_formats.h"

namespace sluice::codec {

void decode_mxfp4_rows(const EncodedMatrix& matrix, int64_t first, int64_t count, float* out) {
  const int64_t per_row = matrix.columns / kMxGroup;
  const auto* codes =
      reinterpret_cast<const uint8_t*>(matrix.codes.bytes.data()) + first * (matrix.columns / 2);
  const auto* scales =
      reinterpret_cast<const uint8_t*>(matrix.scales.bytes.data()) + first * per_row;
  for (int64_t g = 0; g < count * per_row; ++g, codes += kMxGroup / 2, out += kMxGroup) {
    const float scale = e8m0_to_f32(scales[g]);
    for (int64_t j = 0; j < kMxGroup / 2; ++j) {
      out[2 * j] = kE2m1Values[codes[j] & 15] * scale;
      out[2 * j + 1] = kE2m1Values[codes[j] >> 4] * scale;
    }
  }
}

void decode_mxfp8_rows(const EncodedMatrix& matrix, int64_t first, int64_t count,
                       const std::array<float, 256>& values, float* out) {
  const int64_t per_row = matrix.columns / kMxGroup;
  const auto* codes =
      reinterpret_cast<const uint8_t*>(matrix.codes.bytes.data()) + first * matrix.columns;
  const auto* scales =
      reinterpret_cast<const uint8_t*>(matrix.scales.bytes.data()) + first * per_row;
  for (int64_t g = 0; g < count * per_row; ++g, codes += kMxGroup, out += kMxGroup) {
    const float scale = e8m0_to_f32(scales[g]);
    for (int64_t j = 0; j < kMxGroup; ++j) out[j] = values[codes[j]] * scale;
  }
}

}  // namespace sluice::codec
