#include "codec/activation.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "codec/encode.h"
#include "codec/number_formats.h"
#include "codec/nvfp4.h"

namespace sluice::codec {
namespace {

using Use = TensorScale::Use;

// Calls apply(group) for each `width` columns; the last may be short.
template <typename Apply>
void for_each_group(std::span<float> row, size_t width, Apply apply) {
  for (size_t at = 0; at < row.size(); at += width)
    apply(row.subspan(at, std::min(width, row.size() - at)));
}

void divide_fp8(std::span<float> x, float scale) {
  for (float& value : x) value = kE4m3Values[f32_to_e4m3(value / scale)] * scale;
}

void static_fp8(std::span<float> x, float scale) {
  const float inverse = 1.0f / scale;
  for (float& value : x) value = kE4m3Values[f32_to_e4m3(value * inverse)] * scale;
}

void token_int8(std::span<float> x) {
  const float scale = amax_of(x) / 127.0f;
  if (scale == 0) return;
  for (float& value : x) value = static_cast<float>(round_to_int(value / scale, -128, 127)) * scale;
}

void group_nvfp4(std::span<float> x, const TensorScale& input_scale) {
  const float g = input_scale.use == Use::kDivide ? input_scale.value : 1.0f / input_scale.value;
  const uint8_t code = f32_to_e4m3(g * (amax_of(x) / kE2m1Max));
  const float scale = kE4m3Values[code];
  const float inverse = scale != 0 ? 1.0f / (scale / g) : 0.0f;
  const float factor = nvfp4_block_factor(code, input_scale);
  for (float& value : x) value = kE2m1Values[f32_to_e2m1(value * inverse)] * factor;
}

void group_mx(std::span<float> x, bool four_bits, MxRule rule) {
  const float scale = e8m0_to_f32(mx_scale_code(amax_of(x), four_bits, rule));
  for (float& value : x) {
    const float quotient = value / scale;
    value = (four_bits ? kE2m1Values[f32_to_e2m1(quotient)] : kE4m3Values[f32_to_e4m3(quotient)]) *
            scale;
  }
}

}  // namespace

void quantize_activations(ActivationScheme scheme, const TensorScale& input_scale,
                          std::span<float> row, std::optional<MxRule> mx_rule) {
  switch (scheme) {
    case ActivationScheme::kNone:
      return;
    case ActivationScheme::kFp8TokenDynamic:
    case ActivationScheme::kFp8TensorDynamic:
      return divide_fp8(row, std::max(amax_of(row) / kE4m3Max, 1.0f / (kE4m3Max * 512.0f)));
    case ActivationScheme::kFp8TensorStatic:
      SLUICE_CHECK(input_scale.use != Use::kNone, "a static scheme without input scale");
      return static_fp8(
          row, input_scale.use == Use::kDivide ? 1.0f / input_scale.value : input_scale.value);
    case ActivationScheme::kFp8Group128:
      return for_each_group(row, 128, [](std::span<float> x) {
        divide_fp8(x, std::max(amax_of(x), 1e-10f) / kE4m3Max);
      });
    case ActivationScheme::kInt8TokenDynamic:
      return token_int8(row);
    case ActivationScheme::kNvfp4:
      SLUICE_CHECK(input_scale.use != Use::kNone, "NVFP4 activations without input scale");
      return for_each_group(row, 16, [&](std::span<float> x) { group_nvfp4(x, input_scale); });
    case ActivationScheme::kMxfp4:
      return for_each_group(row, 32, [&](std::span<float> x) {
        group_mx(x, true, mx_rule.value_or(MxRule::kCompressedTensors));
      });
    case ActivationScheme::kMxfp8:
      return for_each_group(row, 32, [&](std::span<float> x) {
        group_mx(x, false, mx_rule.value_or(MxRule::kModelOpt));
      });
  }
}

}  // namespace sluice::codec
