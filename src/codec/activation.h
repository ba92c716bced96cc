// What quantization at run time does to the inputs of a product (spec/formats-safetensors.md
// section 6), as plain functions on F32 rows: the reference for `--activations published`.
#pragma once

#include <optional>
#include <span>

#include "codec/mx.h"
#include "tensor/format.h"
#include "tensor/matrix.h"

namespace sluice::codec {

// Replaces a row by the values that its codes stand for under the scheme (codes times scales, F32).
// `input_scale` is read by the static and the NVFP4 schemes; a divisor (compressed-tensors NVFP4)
// is used as one.
//
//   kFp8TokenDynamic   s = max(amax / 448, 1 / (448 * 512)), e4m3(x / s)
//   kFp8TensorStatic   s = input scale, e4m3(x * (1 / s))
//   kFp8TensorDynamic  as kFp8TokenDynamic: here the row is the tensor, because the rows of a batch
//   must not see each
//                      other (design.md P3)
//   kFp8Group128       s = max(amax of 128 columns, 1e-10) / 448, e4m3(x / s)
//   kInt8TokenDynamic  s = amax / 127, round to nearest even
//   kNvfp4             per 16 columns SF = e4m3(g * (amax / 6)), e2m1(x * (1 / (SF / g))); zeros
//   where SF = 0 kMxfp4, kMxfp8     per 32 columns a power of two by `mx_rule`, by default that of
//   the scheme's main producer:
//                      compressed-tensors for MXFP4, ModelOpt for MXFP8
//
// A last group may be short.
void quantize_activations(ActivationScheme scheme, const TensorScale& input_scale,
                          std::span<float> row, std::optional<MxRule> mx_rule = std::nullopt);

}  // namespace sluice::codec
