// A weight as it is stored: codes, scales and what joins them. Borrows its bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tensor/dtype.h"
#include "tensor/format.h"

namespace sluice {

// A stored array, row-major. The bytes belong to the checkpoint's mapping (or to a test).
struct Plane {
  std::span<const std::byte> bytes;
  DType dtype = DType::kF32;
  int64_t rows = 0, columns = 0;  // in elements of dtype (for ggml blocks: in weights)

  bool empty() const { return bytes.empty(); }
};

// One tensor-wide factor, kept in the direction in which it is stored: inverting it moves the last
// bit of some weights (spec/formats.md section 4).
struct TensorScale {
  enum class Use : uint8_t { kNone, kMultiply, kDivide };
  Use use = Use::kNone;
  float value = 1.0f;
};

// W[rows = N output features, columns = K input features] of a linear y = x W^T, or any tensor seen
// as rows x columns. Meaning of the planes by format: spec/formats-safetensors.md section 3.
struct EncodedMatrix {
  Format format = Format::kF32;
  int64_t rows = 0, columns = 0;

  Plane codes;   // F8/U8 nibbles/I8/I32 bit string/float array/ggml blocks
  Plane scales;  // one per block; BF16, F16, F32, F8_E4M3, F8_E8M0 or U8 (E8M0); empty if none
  int64_t block_rows =
      0;  // extent of one scale: 128x128 (fp8_block), 1x16 (nvfp4), 1xK (channel), NxK (tensor)
  int64_t block_columns = 0;
  TensorScale tensor_scale;  // nvfp4 global scale; `.scale` of a GGUF
  Plane zero_points;         // int formats, asymmetric: I32, packed along the rows
  int bits = 0;              // int formats: bits of a code
  bool packed =
      false;  // int formats: codes are an I32 bit string (pack-quantized), else one per byte

  // What the recipe does to activations. input_scale is a multiplier or divisor as stored.
  ActivationScheme activations = ActivationScheme::kNone;
  TensorScale input_scale;
};

}  // namespace sluice
