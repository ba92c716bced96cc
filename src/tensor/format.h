// Formats: what the bytes of a weight mean. A format names a whole scheme (codes and their scales);
// the codec of the same name under src/codec/ is the only place that knows how to decode it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "tensor/dtype.h"

namespace sluice {

// Names are those of spec/cli.md ("inspect").
enum class Format : uint8_t {
  kF32,
  kF16,
  kBF16,
  kFp8Block,    // e4m3, a scale per 128x128 tile (Qwen FP8, compressed-tensors FP8_BLOCK, ModelOpt
                // FP8_PB_WO)
  kFp8Channel,  // e4m3, a scale per row
  kFp8Tensor,   // e4m3, one scale
  kNvfp4,       // e2m1, e4m3 scale per 16, one F32 scale; activations untouched (W4A16)
  kNvfp4A4,     // the same weights, activations in NVFP4 by recipe
  kNvfp4A8,     // the same weights, activations in FP8 per token (compressed-tensors)
  kW4A8Nvfp4,   // ModelOpt W4A8_NVFP4_FP8: scale per 32 (or 16), activations FP8 per tensor
  kInt4,        // compressed-tensors integers below 8 bit, activations untouched
  kInt4A8,      // the same, activations int8 or FP8 per token (W4A8, W4AFP8)
  kInt8,        // compressed-tensors int8
  kMxfp4,
  kMxfp8,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL,
  kIQ4_XS,
  kGgmlMxfp4,  // named mxfp4; other nibble order
  kGgmlNvfp4,  // named nvfp4; other nibble order, scales inside the block, optional F32 scale
               // beside
};

inline constexpr int kFormatCount = static_cast<int>(Format::kGgmlNvfp4) + 1;

std::string_view format_name(Format format);

// The codes are floats of 8 bits or more: products of them are products of floats. The others are
// integers, or floats so short that they are taken for integers.
bool has_float_codes(Format format);

// Of a weight whose bytes are all there is to it (floats, and GGUF's blocks, which carry their
// scales); nothing for types that mean something only with scales beside them.
std::optional<Format> self_contained_format(DType type);

// What the build's recipe does to the inputs of a product (`--activations published`).
enum class ActivationScheme : uint8_t {
  kNone,              // left alone
  kFp8TokenDynamic,   // e4m3, one scale a row, from the row
  kFp8TensorStatic,   // e4m3, the stored input scale
  kFp8TensorDynamic,  // e4m3, one scale for the tensor, from the tensor
  kFp8Group128,       // e4m3, one scale per 128 columns of a row, from the row
  kInt8TokenDynamic,  // int8, one scale a row
  kNvfp4,             // e2m1 with e4m3 per 16, under the stored input scale
  kMxfp4,
  kMxfp8,  // e8m0 per 32, from the row
};

}  // namespace sluice
