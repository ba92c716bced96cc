// ggml's float-4 blocks: MXFP4 and NVFP4 (spec/formats-gguf.md 4.7, 4.8). The Hugging Face layouts
// of the same numbers are in codec/mx.h and codec/nvfp4.h: there a byte holds neighbouring columns,
// here the two halves of a (sub-)block.
//
// Block structs consist of bytes only: they have alignment 1 and may be laid over a mapped file.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::codec {

// 32 weights. Element j is the low nibble of qs[j], element j + 16 the high one. Value e2m1(q) *
// 2^(e - 127).
struct BlockGgmlMxfp4 {
  uint8_t e;  // E8M0; 255 is invalid
  uint8_t qs[16];
};

// 64 weights, four sub-blocks s of 16. Byte j of qs[8s .. 8s+7]: low nibble element 16s + j, high
// nibble element 16s + 8 + j. Value e2m1(q) * ue4m3(d[s]); the tensor's `.scale`, if any,
// multiplies the decoded value.
struct BlockGgmlNvfp4 {
  uint8_t d[4];  // E4M3 without sign; 0x7F and above are invalid
  uint8_t qs[32];
};

static_assert(sizeof(BlockGgmlMxfp4) == 17 && alignof(BlockGgmlMxfp4) == 1);
static_assert(sizeof(BlockGgmlNvfp4) == 36 && alignof(BlockGgmlNvfp4) == 1);

void decode_ggml_mxfp4(const BlockGgmlMxfp4* blocks, int64_t count, float* out);

// Without `.scale`: the caller multiplies.
void decode_ggml_nvfp4(const BlockGgmlNvfp4* blocks, int64_t count, float* out);

}  // namespace sluice::codec
