#include "codec/nvfp4.h"

namespace sluice::codec {

void decode_nvfp4_rows(const EncodedMatrix& matrix, int64_t first, int64_t count, float* out) {
  const int64_t group = matrix.block_columns;
  const int64_t groups = count * (matrix.columns / group);
  const auto* codes =
      reinterpret_cast<const uint8_t*>(matrix.codes.bytes.data()) + first * (matrix.columns / 2);
  const auto* scales = reinterpret_cast<const uint8_t*>(matrix.scales.bytes.data()) +
                       first * (matrix.columns / group);
  for (int64_t g = 0; g < groups; ++g, codes += group / 2, out += group) {
    const float factor = nvfp4_block_factor(scales[g], matrix.tensor_scale);
    for (int64_t j = 0; j < group / 2; ++j) {
      out[2 * j] = kE2m1Values[codes[j] & 15] * factor;
      out[2 * j + 1] = kE2m1Values[codes[j] >> 4] * factor;
    }
  }
}

}  // namespace sluice::codec
