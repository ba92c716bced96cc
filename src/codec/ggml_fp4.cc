#include "codec/ggml_fp4.h"

#include "codec/number_formats.h"

namespace sluice::codec {

void decode_ggml_mxfp4(const BlockGgmlMxfp4* blocks, int64_t count, float* out) {
  for (int64_t b = 0; b < count; ++b, out += 32) {
    const float scale = e8m0_to_f32(blocks[b].e);
    for (int j = 0; j < 16; ++j) {
      out[j] = kE2m1Values[blocks[b].qs[j] & 15] * scale;
      out[j + 16] = kE2m1Values[blocks[b].qs[j] >> 4] * scale;
    }
  }
}

void decode_ggml_nvfp4(const BlockGgmlNvfp4* blocks, int64_t count, float* out) {
  for (int64_t b = 0; b < count; ++b) {
    for (int s = 0; s < 4; ++s, out += 16) {
      const float scale = kUe4m3Values[blocks[b].d[s]];
      const uint8_t* qs = blocks[b].qs + 8 * s;
      for (int j = 0; j < 8; ++j) {
        out[j] = kE2m1Values[qs[j] & 15] * scale;
        out[j + 8] = kE2m1Values[qs[j] >> 4] * scale;
      }
    }
  }
}

}  // namespace sluice::codec
