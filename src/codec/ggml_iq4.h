// ggml's 4-bit types with a table of levels: IQ4_NL and IQ4_XS (spec/formats-gguf.md 4.6).
//
// Block structs consist of bytes only: they have alignment 1 and may be laid over a mapped file.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sluice::codec {

inline constexpr std::array<int8_t, 16> kIq4Levels = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                      1,    13,   25,  38,  53,  69,  89,  113};

// 32 weights. Element j is the low nibble of qs[j], element j + 16 the high one. Value d *
// kIq4Levels[q].
struct BlockIQ4_NL {
  uint8_t d[2];  // F16
  uint8_t qs[16];
};

// 256 weights. Sub-block k of 32: 16 bytes of qs as IQ4_NL; its scale is nibble k of scales_l (even
// k low) plus 16 times bits 2k, 2k+1 of scales_h (little-endian u16). Value (d*(sc-32)) *
// kIq4Levels[q].
struct BlockIQ4_XS {
  uint8_t d[2];
  uint8_t scales_h[2];
  uint8_t scales_l[4];
  uint8_t qs[128];
};

static_assert(sizeof(BlockIQ4_NL) == 18 && alignof(BlockIQ4_NL) == 1);
static_assert(sizeof(BlockIQ4_XS) == 136 && alignof(BlockIQ4_XS) == 1);

// The eight scales of a super-block, 0..63 (the offset of 32 still in them).
void unpack_iq4_xs_scales(const BlockIQ4_XS& block, uint8_t scales[8]);

void decode_iq4_nl(const BlockIQ4_NL* blocks, int64_t count, float* out);
void decode_iq4_xs(const BlockIQ4_XS* blocks, int64_t count, float* out);

}  // namespace sluice::codec
