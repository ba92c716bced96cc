#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "codec/encode_common.h"
#include "codec/number_formats.h"
#include "codec/nvfp4.h"

namespace sluice::codec {
namespace {

using Use = TensorScale::Use;
using Group = std::span<const float>;

constexpr float kTwoLevelMax = kE2m1Max * kE4m3Max;  // 2688, what amax is mapped to
constexpr uint8_t kCtZeroScale = 0x20, kModelOptZeroScale = 0x38;
constexpr int64_t kMaxGroup = 32;

// E2M1 with ModelOpt's sign rule: from x < 0, so that an exact -0 has code 0.
uint8_t signed_by_comparison(float quotient, float x) {
  return static_cast<uint8_t>((f32_to_e2m1(quotient) & 7) | (x < 0 ? 8 : 0));
}

TensorScale choose_tensor_scale(float amax, const WeightSource& source,
                                const Nvfp4Options& options) {
  if (options.tensor_scale) return *options.tensor_scale;
  if (options.rule == Nvfp4Rule::kCompressedTensors) {
    float divisor = kTwoLevelMax / amax;
    if (source.type == SourceType::kBf16) divisor = round_to_bf16(divisor);
    return {Use::kDivide, std::isfinite(divisor) ? divisor : 1.0f};
  }
  // Scales of W4A8 stay below 448/6, so that code * scale fits E4M3; four over six leaves room for
  // the factor 1.5.
  const float limit = options.format == Format::kW4A8Nvfp4 ? kE4m3Max
                      : options.four_over_six              ? kE2m1Max * 256.0f
                                                           : kTwoLevelMax;
  return {Use::kMultiply, amax == 0 ? 1.0f : amax / limit};
}

uint8_t ct_scale(float amax, float divisor, SourceType type) {
  const float sixth = type == SourceType::kBf16 ? round_to_bf16(amax / kE2m1Max) : amax / kE2m1Max;
  const uint8_t code = f32_to_e4m3(divisor * sixth);
  return code == 0 ? kCtZeroScale : code;
}

uint8_t modelopt_scale(float amax, float factor, float stretch) {
  if (amax == 0) return kModelOptZeroScale;
  return f32_to_e4m3(
      std::clamp(stretch * (amax / (kE2m1Max * factor)), kE4m3MinSubnormal, kE4m3Max));
}

struct EncodedGroup {
  uint8_t scale = 0;
  std::array<uint8_t, kMaxGroup> codes;
};

EncodedGroup encode_group(Group x, uint8_t scale, const TensorScale& tensor_scale, Nvfp4Rule rule) {
  EncodedGroup group;
  group.scale = scale;
  const float factor = nvfp4_block_factor(scale, tensor_scale);
  for (size_t i = 0; i < x.size(); ++i) {
    const float quotient = x[i] / factor;
    group.codes[i] =
        rule == Nvfp4Rule::kModelOpt ? signed_by_comparison(quotient, x[i]) : f32_to_e2m1(quotient);
  }
  return group;
}

double squared_error(Group x, const EncodedGroup& group, const TensorScale& tensor_scale) {
  const float factor = nvfp4_block_factor(group.scale, tensor_scale);
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double difference = double{x[i]} - double{kE2m1Values[group.codes[i]] * factor};
    sum += difference * difference;
  }
  return sum;
}

EncodedGroup best_group(Group x, const TensorScale& tensor_scale, SourceType type,
                        const Nvfp4Options& options) {
  const float amax = amax_of(x), value = tensor_scale.value;
  if (options.rule == Nvfp4Rule::kCompressedTensors) {
    return encode_group(x, ct_scale(amax, value, type), tensor_scale, options.rule);
  }
  EncodedGroup plain =
      encode_group(x, modelopt_scale(amax, value, 1.0f), tensor_scale, options.rule);
  if (!options.four_over_six || amax == 0) return plain;
  const EncodedGroup stretched =
      encode_group(x, modelopt_scale(amax, value, 1.5f), tensor_scale, options.rule);
  const bool better =
      squared_error(x, stretched, tensor_scale) < squared_error(x, plain, tensor_scale);
  return better ? stretched : plain;
}

}  // namespace

Result<OwnedMatrix> encode_nvfp4(const WeightSource& source, const Nvfp4Options& options) {
  SLUICE_TRY(check_source(source));
  const int64_t group = options.group, columns = source.columns;
  SLUICE_CHECK(
      group == kNvfp4Group || (group == kW4a8Group && options.format == Format::kW4A8Nvfp4),
      "group {} of {}", group, format_name(options.format));
  if (columns % group != 0) {
    return not_encodable(
        source, fmt::format("{} columns are not a multiple of the block width {}", columns, group));
  }
  const float amax = options.amax.value_or(amax_of(source.values));
  const TensorScale tensor_scale = choose_tensor_scale(amax, source, options);
  const bool divides = tensor_scale.use == Use::kDivide;
  SLUICE_CHECK(divides == (options.rule == Nvfp4Rule::kCompressedTensors),
               "a tensor scale of the other convention");
  const float factor = divides ? 1.0f / tensor_scale.value : tensor_scale.value;
  if (!std::isnormal(factor) || !std::isfinite(kTwoLevelMax * factor)) {
    return not_encodable(
        source, fmt::format("its largest magnitude {} needs a tensor scale outside F32", amax));
  }

  OwnedMatrix owned = make_matrix(source, options.format, 1, group);
  owned.matrix.tensor_scale = tensor_scale;
  uint8_t* codes =
      allocate_plane(owned.codes, owned.matrix.codes, DType::kU8, source.rows, columns / 2);
  uint8_t* scales = allocate_plane(owned.scales, owned.matrix.scales, DType::kF8E4M3, source.rows,
                                   columns / group);
  const int64_t groups = source.rows * (columns / group);
  for (int64_t g = 0; g < groups; ++g, codes += group / 2) {
    const Group x =
        source.values.subspan(static_cast<size_t>(g * group), static_cast<size_t>(group));
    const EncodedGroup encoded = best_group(x, tensor_scale, source.type, options);
    scales[g] = encoded.scale;
    for (size_t j = 0; j < static_cast<size_t>(group / 2); ++j) {
      codes[j] = static_cast<uint8_t>(encoded.codes[2 * j] | (encoded.codes[2 * j + 1] << 4));
    }
  }
  return owned;
}

}  // namespace sluice::codec
