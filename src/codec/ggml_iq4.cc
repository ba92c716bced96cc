#include "codec/ggml_iq4.h"

#include "codec/bytes.h"

namespace sluice::codec {

void unpack_iq4_xs_scales(const BlockIQ4_XS& block, uint8_t scales[8]) {
  const int high = load_u16(block.scales_h);
  for (int k = 0; k < 8; ++k) {
    const int low = (block.scales_l[k / 2] >> (4 * (k % 2))) & 15;
    scales[k] = static_cast<uint8_t>(low | (((high >> (2 * k)) & 3) << 4));
  }
}

namespace {
void decode_32(float scale, const uint8_t qs[16], float* out) {
  for (int j = 0; j < 16; ++j) {
    out[j] = scale * static_cast<float>(kIq4Levels[qs[j] & 15]);
    out[j + 16] = scale * static_cast<float>(kIq4Levels[qs[j] >> 4]);
  }
}
}  // namespace

void decode_iq4_nl(const BlockIQ4_NL* blocks, int64_t count, float* out) {
  for (int64_t b = 0; b < count; ++b) {
    decode_32(load_f16(blocks[b].d), blocks[b].qs, out + 32 * b);
  }
}

void decode_iq4_xs(const BlockIQ4_XS* blocks, int64_t count, float* out) {
  uint8_t scales[8];
  for (int64_t b = 0; b < count; ++b) {
    const float d = load_f16(blocks[b].d);
    unpack_iq4_xs_scales(blocks[b], scales);
    for (int k = 0; k < 8; ++k, out += 32) {
      decode_32(d * static_cast<float>(scales[k] - 32), blocks[b].qs + 16 * k, out);
    }
  }
}

}  // namespace sluice::codec
