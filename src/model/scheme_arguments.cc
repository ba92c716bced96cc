#include "model/scheme_arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <tuple>

#include "model/json_fields.h"

namespace sluice::model {
namespace {

bool is_fp8(StoredScheme scheme) {
  return scheme == StoredScheme::kFp8Block || scheme == StoredScheme::kFp8Channel ||
         scheme == StoredScheme::kFp8Tensor;
}

}  // namespace

std::optional<std::pair<int64_t, int64_t>> read_block_size(const Json& value) {
  int64_t rows = 0, columns = 0;
  if (value.is_array() && value.items().size() == 2) {
    rows = value.items()[0].as_int64().value_or(0);
    columns = value.items()[1].as_int64().value_or(0);
  } else if (value.is_string() && value.string() == "128x128") {
    rows = columns = 128;
  }
  if (rows < 1 || columns < 1 || rows > 65536 || columns > 65536) return std::nullopt;
  return std::pair{rows, columns};
}

std::string arguments_text(const Json& arguments) {
  const bool asymmetric =
      find_set(arguments, "symmetric") != nullptr && !true_of(arguments, "symmetric");
  return fmt::format("{} bits, type \"{}\", strategy \"{}\"{}", integer_of(arguments, "num_bits"),
                     text_of(arguments, "type"), text_of(arguments, "strategy"),
                     asymmetric ? ", asymmetric" : "");
}

Result<ModuleScheme> weight_scheme(const Json& weights) {
  const int64_t bits = integer_of(weights, "num_bits");
  const std::string type = text_of(weights, "type"), strategy = text_of(weights, "strategy");
  const bool asymmetric =
      find_set(weights, "symmetric") != nullptr && !true_of(weights, "symmetric");
  ModuleScheme scheme;
  scheme.group = std::max<int64_t>(0, integer_of(weights, "group_size"));
  const auto unknown = [&] {
    return bad_input("weights",
                     fmt::format("weights of {} are not supported", arguments_text(weights)));
  };
  if (type == "int") {
    if (bits < 2 || bits > 8 ||
        (strategy != "channel" && strategy != "group" && strategy != "tensor"))
      return unknown();
    scheme.weights = StoredScheme::kInteger;
    scheme.bits = static_cast<int>(bits);
    return scheme;
  }
  if ((!type.empty() && type != "float") || asymmetric) return unknown();
  // ModelOpt's groups name no strategy.
  const bool group32 = strategy == "group" && scheme.group == 32;
  if (bits == 8 && strategy == "channel") {
    scheme.weights = StoredScheme::kFp8Channel;
  } else if (bits == 8 && (strategy == "tensor" || strategy.empty())) {
    scheme.weights = StoredScheme::kFp8Tensor;
  } else if (bits == 8 && strategy == "block") {
    scheme.weights = StoredScheme::kFp8Block;
    const Json* structure = find_set(weights, "block_structure");
    const auto block =
        structure != nullptr ? read_block_size(*structure) : std::pair<int64_t, int64_t>{128, 128};
    if (!block) return unknown();
    std::tie(scheme.block_rows, scheme.block_columns) = *block;
  } else if (bits == 8 && group32) {
    scheme.weights = StoredScheme::kMxfp8;
  } else if (bits == 4 && (strategy == "tensor_group" || strategy.empty())) {
    scheme.weights = StoredScheme::kNvfp4;
  } else if (bits == 4 && group32) {
    scheme.weights = StoredScheme::kMxfp4;
  } else {
    return unknown();
  }
  return scheme;
}

std::optional<ActivationScheme> activation_scheme(const Json& inputs) {
  const int64_t bits = integer_of(inputs, "num_bits"), group = integer_of(inputs, "group_size");
  const std::string type = text_of(inputs, "type"), strategy = text_of(inputs, "strategy");
  const bool per_tensor = strategy == "tensor" || strategy.empty();
  if (type == "int") {
    if (bits == 8 && strategy == "token") return ActivationScheme::kInt8TokenDynamic;
    return std::nullopt;
  }
  if (!type.empty() && type != "float") return std::nullopt;
  if (bits == 8 && strategy == "token") return ActivationScheme::kFp8TokenDynamic;
  if (bits == 8 && per_tensor) {
    return true_of(inputs, "dynamic") ? ActivationScheme::kFp8TensorDynamic
                                      : ActivationScheme::kFp8TensorStatic;
  }
  if (bits == 8 && strategy == "group" && group == 128) return ActivationScheme::kFp8Group128;
  if (bits == 8 && strategy == "group" && group == 32) return ActivationScheme::kMxfp8;
  if (bits == 4 && (strategy == "tensor_group" || strategy.empty()))
    return ActivationScheme::kNvfp4;
  if (bits == 4 && strategy == "group" && group == 32) return ActivationScheme::kMxfp4;
  return std::nullopt;
}

bool is_known_format(const std::string& format) {
  static constexpr std::string_view kKnown[] = {"",
                                                "dense",
                                                "naive-quantized",
                                                "int-quantized",
                                                "float-quantized",
                                                "pack-quantized",
                                                "nvfp4-pack-quantized",
                                                "mxfp4-pack-quantized",
                                                "mxfp8-quantized",
                                                "mixed-precision"};
  return std::find(std::begin(kKnown), std::end(kKnown), format) != std::end(kKnown);
}

bool format_fits(const std::string& format, StoredScheme weights) {
  if (format == "float-quantized") return is_fp8(weights);
  if (format == "naive-quantized") return is_fp8(weights) || weights == StoredScheme::kInteger;
  if (format == "int-quantized" || format == "pack-quantized")
    return weights == StoredScheme::kInteger;
  if (format == "nvfp4-pack-quantized") return weights == StoredScheme::kNvfp4;
  if (format == "mxfp4-pack-quantized") return weights == StoredScheme::kMxfp4;
  if (format == "mxfp8-quantized") return weights == StoredScheme::kMxfp8;
  return format != "dense" && format != "mixed-precision";
}

std::optional<ModuleScheme> modelopt_scheme(const std::string& algorithm) {
  struct Row {
    std::string_view name;
    StoredScheme weights;
    ActivationScheme activations;
  };
  static constexpr Row kRows[] = {
      {"FP8", StoredScheme::kFp8Tensor, ActivationScheme::kFp8TensorStatic},
      {"FP8_PER_CHANNEL_PER_TOKEN", StoredScheme::kFp8Channel, ActivationScheme::kFp8TokenDynamic},
      {"FP8_PB_WO", StoredScheme::kFp8Block, ActivationScheme::kNone},
      {"FP8_BLOCK_SCALES", StoredScheme::kFp8Block, ActivationScheme::kFp8Group128},
      {"NVFP4", StoredScheme::kNvfp4, ActivationScheme::kNvfp4},
      {"W4A16_NVFP4", StoredScheme::kNvfp4, ActivationScheme::kNone},
      {"W4A8_NVFP4_FP8", StoredScheme::kW4A8Nvfp4, ActivationScheme::kFp8TensorStatic},
      {"MXFP8", StoredScheme::kMxfp8, ActivationScheme::kMxfp8},
      {"MXFP4", StoredScheme::kMxfp4, ActivationScheme::kMxfp4},
      {"W4A8_MXFP4_FP8", StoredScheme::kMxfp4, ActivationScheme::kFp8TensorStatic}};
  for (const Row& row : kRows) {
    if (upper(algorithm) != row.name) continue;
    ModuleScheme scheme;
    scheme.weights = row.weights;
    scheme.activations = row.activations;
    scheme.input_scale_optional = row.weights == StoredScheme::kMxfp4;
    if (row.weights == StoredScheme::kFp8Block) scheme.block_rows = scheme.block_columns = 128;
    return scheme;
  }
  return std::nullopt;
}

}  // namespace sluice::model
