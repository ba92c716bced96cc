#include "model/quantization_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>

namespace sluice::model {

std::string_view stored_scheme_name(StoredScheme scheme) {
  static constexpr std::array<std::string_view, 9> kNames = {
      "unquantized", "FP8 per block", "FP8 per channel", "FP8 per tensor", "NVFP4",
      "W4A8 NVFP4",  "integer",       "MXFP4",           "MXFP8"};
  return kNames[static_cast<size_t>(scheme)];
}

namespace {

const Json* find_set(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string text_of(const Json& object, std::string_view key) {
  const Json* value = find_set(object, key);
  if (value == nullptr) return {};
  return value->is_string() ? value->string() : value->dump();
}

int64_t integer_of(const Json& object, std::string_view key) {
  const Json* value = find_set(object, key);
  return value == nullptr ? 0 : value->as_int64().value_or(0);
}

bool true_of(const Json& object, std::string_view key) {
  const Json* value = find_set(object, key);
  return value != nullptr && value->is_boolean() && value->boolean();
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

bool is_empty_container(const Json& value) {
  return value.is_null() || (value.is_object() && value.members().empty()) ||
         (value.is_array() && value.items().empty());
}

// [128, 128] or the older "128x128".
std::optional<std::pair<int64_t, int64_t>> read_block(const Json& value) {
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

}  // namespace

// Reads the three dialects; each adds one source.
class QuantizationReader {
 public:
  QuantizationReader(QuantizationConfig& out, std::vector<Problem>& problems)
      : out_(out), problems_(problems) {}

  void config_json(const Json& quantization) {
    file_ = "config.json";
    const std::string method = text_of(quantization, "quant_method");
    if (method == "fp8") return fp8(quantization);
    if (method == "compressed-tensors") return compressed_tensors(quantization);
    if (method.starts_with("modelopt") ||
        (method.empty() && find_set(quantization, "quant_algo") != nullptr)) {
      return modelopt(quantization, quantization);
    }
    if (method.empty() && find_set(quantization, "bits") != nullptr) {
      return refuse(
          "quantization_config looks like MLX's (bits, group_size), which is not supported");
    }
    refuse(fmt::format("quant_method \"{}\" is not supported", method));
  }

  void hf_quant_config(const Json& root) {
    file_ = "hf_quant_config.json";
    const Json* quantization = root.find("quantization");
    if (quantization == nullptr || !quantization->is_object())
      return refuse("there is no \"quantization\" object");
    modelopt(*quantization, *quantization);
  }

 private:
  using Dialect = ModulePattern::Dialect;
  using Source = QuantizationConfig::Source;

  void refuse(const std::string& why,
              const std::string& remedy = "use a build in a supported format") {
    problems_.push_back(
        {Problem::Severity::kError, "", fmt::format("{}: Q-10: {}", file_, why), remedy});
  }

  // A list of entries under `key`; what is no list of strings is reported.
  std::vector<ModulePattern> patterns(const Json& object, std::string_view key, Dialect dialect) {
    std::vector<ModulePattern> result;
    const Json* list = find_set(object, key);
    if (list == nullptr) return result;
    if (!list->is_array()) {
      refuse(fmt::format("{} is {}, expected an array", key, list->kind_name()));
      return result;
    }
    for (const Json& entry : list->items()) {
      if (!entry.is_string()) {
        refuse(fmt::format("{} holds {}, expected strings", key, entry.kind_name()));
        continue;
      }
      append(entry.string(), dialect, result);
    }
    return result;
  }

  void append(const std::string& entry, Dialect dialect, std::vector<ModulePattern>& out) {
    Result<ModulePattern> pattern = ModulePattern::parse(entry, dialect);
    if (pattern.ok()) {
      out.push_back(*std::move(pattern));
    } else {
      const Error& error = pattern.error();
      problems_.push_back({Problem::Severity::kError, "",
                           fmt::format("{}: {}: {}", file_, error.what, error.why), error.remedy});
    }
  }

  // -------------------------------------------------------------------------------------------------
  // fp8

  void fp8(const Json& config) {
    Source source{file_, {}, {}, {}, true};
    ModuleScheme scheme;
    scheme.origin = "config.json quant_method fp8";
    if (const std::string format = text_of(config, "fmt"); !format.empty() && format != "e4m3") {
      refuse(fmt::format("fmt \"{}\" is not supported, e4m3 is", format));
    }
    const std::string activations = text_of(config, "activation_scheme");
    const bool is_static = activations == "static";
    if (!activations.empty() && activations != "static" && activations != "dynamic") {
      refuse(fmt::format("activation_scheme \"{}\" is neither static nor dynamic", activations));
    }
    if (const Json* block = find_set(config, "weight_block_size")) {
      scheme.weights = StoredScheme::kFp8Block;
      const auto size = read_block(*block);
      if (!size) return refuse(fmt::format("weight_block_size is {}", block->dump()));
      std::tie(scheme.block_rows, scheme.block_columns) = *size;
      scheme.activations = ActivationScheme::kFp8Group128;
      if (is_static) refuse("activation_scheme static does not go with weight_block_size");
    } else {
      scheme.weights = StoredScheme::kFp8Tensor;
      scheme.activations =
          is_static ? ActivationScheme::kFp8TensorStatic : ActivationScheme::kFp8TensorDynamic;
    }
    source.schemes.push_back(scheme);
    for (const char* key : {"modules_to_not_convert", "ignored_layers"}) {
      for (ModulePattern& pattern : patterns(config, key, Dialect::kFp8))
        source.ignored.push_back(std::move(pattern));
    }
    // Modules other than linears (embeddings) get one scale for the table, whatever the linears
    // have.
    scheme.weights = StoredScheme::kFp8Tensor;
    scheme.activations = ActivationScheme::kNone;
    scheme.origin += " modules_to_convert";
    source.schemes.push_back(scheme);
    for (ModulePattern& pattern : patterns(config, "modules_to_convert", Dialect::kFp8)) {
      source.targets.push_back({std::move(pattern), 1});
    }
    out_.sources_.push_back(std::move(source));
  }

  // ----------------------------------------------------------------------------------
  // compressed-tensors

  void compressed_tensors(const Json& config) {
    for (const char* key : {"sparsity_config", "transform_config", "moe_sparsity_config"}) {
      const Json* value = find_set(config, key);
      if (value == nullptr || is_empty_container(*value)) continue;
      if (std::string_view(key) == "sparsity_config" && text_of(*value, "format") == "dense")
        continue;
      if (std::string_view(key) == "transform_config" && value->members().size() == 1 &&
          value->members()[0].first == "config_groups" &&
          is_empty_container(value->members()[0].second)) {
        continue;
      }
      refuse(fmt::format("{} is set, which is not supported", key));
    }
    kv_scheme(config);
    const std::string global = text_of(config, "format");
    check_format(global);
    Source source{file_, {}, {}, patterns(config, "ignore", Dialect::kCompressedTensors), false};
    const Json* groups = find_set(config, "config_groups");
    if (groups == nullptr || !groups->is_object()) return refuse("config_groups is missing");
    for (const auto& [name, group] : groups->members()) {
      if (!group.is_object()) {
        refuse(fmt::format("config_groups.{} is {}", name, group.kind_name()));
        continue;
      }
      group_scheme(name, group, global, source);
    }
    out_.sources_.push_back(std::move(source));
  }

  void check_format(const std::string& format) {
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
    if (std::find(std::begin(kKnown), std::end(kKnown), format) == std::end(kKnown)) {
      refuse(fmt::format("format \"{}\" is not supported", format));
    }
  }

  void group_scheme(const std::string& name, const Json& group, const std::string& global_format,
                    Source& source) {
    std::string format = text_of(group, "format");
    check_format(format);
    if (format.empty() && global_format != "mixed-precision") format = global_format;
    ModuleScheme scheme;
    scheme.origin = fmt::format("config.json config_groups.{}", name);
    if (const Json* weights = find_set(group, "weights")) {
      if (!weight_arguments(*weights, name, scheme)) return;
      if (!format_fits(format, scheme)) {
        return refuse(fmt::format("config_groups.{} has format {} and arguments of {} weights",
                                  name, format, stored_scheme_name(scheme.weights)));
      }
      if (const Json* inputs = find_set(group, "input_activations"))
        activation_arguments(*inputs, name, scheme);
    }
    source.schemes.push_back(scheme);
    for (ModulePattern& pattern : patterns(group, "targets", Dialect::kCompressedTensors)) {
      source.targets.push_back({std::move(pattern), source.schemes.size() - 1});
    }
  }

  bool weight_arguments(const Json& weights, const std::string& name, ModuleScheme& scheme) {
    const int64_t bits = integer_of(weights, "num_bits");
    const std::string type = text_of(weights, "type"), strategy = text_of(weights, "strategy");
    const bool asymmetric =
        find_set(weights, "symmetric") != nullptr && !true_of(weights, "symmetric");
    scheme.group = std::max<int64_t>(0, integer_of(weights, "group_size"));
    const auto unknown = [&] {
      refuse(fmt::format(
          "config_groups.{}: weights of {} bits, type \"{}\", strategy \"{}\"{} are not supported",
          name, bits, type, strategy, asymmetric ? ", asymmetric" : ""));
      return false;
    };
    if (type == "int") {
      if (bits < 2 || bits > 8 ||
          (strategy != "channel" && strategy != "group" && strategy != "tensor"))
        return unknown();
      scheme.weights = StoredScheme::kInteger;
      scheme.bits = static_cast<int>(bits);
      return true;
    }
    if ((!type.empty() && type != "float") || asymmetric) return unknown();
    const bool group32 = strategy == "group" && scheme.group == 32;
    if (bits == 8 && strategy == "channel") {
      scheme.weights = StoredScheme::kFp8Channel;
    } else if (bits == 8 &&
               (strategy == "tensor" || strategy.empty())) {  // ModelOpt's groups name no strategy
      scheme.weights = StoredScheme::kFp8Tensor;
    } else if (bits == 8 && strategy == "block") {
      scheme.weights = StoredScheme::kFp8Block;
      const Json* structure = find_set(weights, "block_structure");
      const auto block =
          structure != nullptr ? read_block(*structure) : std::pair<int64_t, int64_t>{128, 128};
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
    return true;
  }

  static bool format_fits(const std::string& format, const ModuleScheme& scheme) {
    const StoredScheme weights = scheme.weights;
    const bool fp8 = weights == StoredScheme::kFp8Block || weights == StoredScheme::kFp8Channel ||
                     weights == StoredScheme::kFp8Tensor;
    if (format == "float-quantized") return fp8;
    if (format == "naive-quantized") return fp8 || weights == StoredScheme::kInteger;
    if (format == "int-quantized" || format == "pack-quantized")
      return weights == StoredScheme::kInteger;
    if (format == "nvfp4-pack-quantized") return weights == StoredScheme::kNvfp4;
    if (format == "mxfp4-pack-quantized") return weights == StoredScheme::kMxfp4;
    if (format == "mxfp8-quantized") return weights == StoredScheme::kMxfp8;
    return format != "dense" && format != "mixed-precision";
  }

  void activation_arguments(const Json& inputs, const std::string& name, ModuleScheme& scheme) {
    const int64_t bits = integer_of(inputs, "num_bits"), group = integer_of(inputs, "group_size");
    const std::string type = text_of(inputs, "type"), strategy = text_of(inputs, "strategy");
    const bool dynamic = true_of(inputs, "dynamic");
    const bool floating = type == "float" || type.empty();
    if (floating && bits == 8 && strategy == "token") {
      scheme.activations = ActivationScheme::kFp8TokenDynamic;
    } else if (floating && bits == 8 && (strategy == "tensor" || strategy.empty())) {
      scheme.activations =
          dynamic ? ActivationScheme::kFp8TensorDynamic : ActivationScheme::kFp8TensorStatic;
    } else if (floating && bits == 8 && strategy == "group" && group == 128) {
      scheme.activations = ActivationScheme::kFp8Group128;
    } else if (floating && bits == 8 && strategy == "group" && group == 32) {
      scheme.activations = ActivationScheme::kMxfp8;
    } else if (floating && bits == 4 && (strategy == "tensor_group" || strategy.empty())) {
      scheme.activations = ActivationScheme::kNvfp4;
    } else if (floating && bits == 4 && strategy == "group" && group == 32) {
      scheme.activations = ActivationScheme::kMxfp4;
    } else if (type == "int" && bits == 8 && strategy == "token") {
      scheme.activations = ActivationScheme::kInt8TokenDynamic;
    } else {
      problems_.push_back({Problem::Severity::kWarning, "",
                           fmt::format("{}: Q-10: config_groups.{}: activations of {} bits, type "
                                       "\"{}\", strategy \"{}\" are not "
                                       "supported; the weights run with untouched activations",
                                       file_, name, bits, type, strategy),
                           ""});
    }
  }

  // -------------------------------------------------------------------------------------------
  // ModelOpt

  // `groups_at` holds config_groups where there are any (config.json); hf_quant_config.json has
  // none.
  void modelopt(const Json& config, const Json& groups_at) {
    kv_scheme(config);
    if (const std::string kv = upper(text_of(config, "kv_cache_quant_algo")); kv == "FP8") {
      out_.fp8_kv_cache_ = true;
    } else if (!kv.empty() && kv != "NONE") {
      refuse(fmt::format("kv_cache_quant_algo \"{}\" is not supported, FP8 is", kv));
    }
    Source source{file_, {}, {}, {}, false};
    for (const char* key : {"exclude_modules", "ignore"}) {
      for (ModulePattern& pattern : patterns(config, key, Dialect::kModelOpt))
        source.ignored.push_back(std::move(pattern));
    }
    const std::string algorithm = text_of(config, "quant_algo");
    const Json* layers = find_set(config, "quantized_layers");
    if (layers != nullptr) {
      quantized_layers(*layers, source);  // wins over config_groups, which are known to lie
    } else if (upper(algorithm) == "MIXED_PRECISION" || algorithm.empty()) {
      modelopt_groups(groups_at, source);
      if (source.schemes.empty() && !algorithm.empty()) {
        return refuse("quant_algo MIXED_PRECISION without quantized_layers or config_groups");
      }
    } else {
      ModuleScheme scheme;
      if (!modelopt_algorithm(algorithm, scheme)) return;
      scheme.group = std::max<int64_t>(0, integer_of(config, "group_size"));
      scheme.origin = fmt::format("{} quant_algo {}", file_, algorithm);
      source.schemes.push_back(scheme);
      source.all_linears = true;
    }
    out_.sources_.push_back(std::move(source));
  }

  void quantized_layers(const Json& layers, Source& source) {
    if (!layers.is_object())
      return refuse(fmt::format("quantized_layers is {}", layers.kind_name()));
    for (const auto& [name, entry] : layers.members()) {
      ModuleScheme scheme;
      const std::string algorithm = text_of(entry, "quant_algo");
      if (algorithm.empty() || !modelopt_algorithm(algorithm, scheme)) continue;
      scheme.group = std::max<int64_t>(0, integer_of(entry, "group_size"));
      scheme.origin = fmt::format("{} quantized_layers {}", file_, algorithm);
      std::vector<ModulePattern> one;
      append(name, Dialect::kModelOpt, one);
      source.schemes.push_back(scheme);
      for (ModulePattern& pattern : one)
        source.targets.push_back({std::move(pattern), source.schemes.size() - 1});
    }
  }

  void modelopt_groups(const Json& config, Source& source) {
    const Json* groups = find_set(config, "config_groups");
    if (groups == nullptr || !groups->is_object()) return;
    for (const auto& [name, group] : groups->members()) {
      const Json* weights = find_set(group, "weights");
      ModuleScheme scheme;
      if (weights == nullptr || !weight_arguments(*weights, name, scheme)) continue;
      if (const Json* inputs = find_set(group, "input_activations"))
        activation_arguments(*inputs, name, scheme);
      if (scheme.weights == StoredScheme::kNvfp4 &&
          scheme.activations == ActivationScheme::kFp8TensorStatic) {
        scheme.weights = StoredScheme::kW4A8Nvfp4;
      }
      scheme.origin = fmt::format("{} config_groups.{}", file_, name);
      source.schemes.push_back(scheme);
      for (ModulePattern& pattern : patterns(group, "targets", Dialect::kModelOpt)) {
        source.targets.push_back({std::move(pattern), source.schemes.size() - 1});
      }
    }
  }

  bool modelopt_algorithm(const std::string& algorithm, ModuleScheme& scheme) {
    struct Row {
      std::string_view name;
      StoredScheme weights;
      ActivationScheme activations;
    };
    static constexpr Row kRows[] = {
        {"FP8", StoredScheme::kFp8Tensor, ActivationScheme::kFp8TensorStatic},
        {"FP8_PER_CHANNEL_PER_TOKEN", StoredScheme::kFp8Channel,
         ActivationScheme::kFp8TokenDynamic},
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
      scheme.weights = row.weights;
      scheme.activations = row.activations;
      scheme.input_scale_optional = row.weights == StoredScheme::kMxfp4;
      if (row.weights == StoredScheme::kFp8Block) scheme.block_rows = scheme.block_columns = 128;
      return true;
    }
    refuse(fmt::format("quant_algo \"{}\" is not supported", algorithm));
    return false;
  }

  void kv_scheme(const Json& config) {
    const Json* scheme = find_set(config, "kv_cache_scheme");
    if (scheme == nullptr || is_empty_container(*scheme)) return;
    const bool fp8_name = scheme->is_string() && upper(scheme->string()) == "FP8";
    const std::string type = text_of(*scheme, "type");
    const bool fp8_object = scheme->is_object() && integer_of(*scheme, "num_bits") == 8 &&
                            (type == "float" || type.empty());
    if (fp8_name || fp8_object) {
      out_.fp8_kv_cache_ = true;
    } else {
      refuse(fmt::format("kv_cache_scheme {} is not supported, FP8 is",
                         scheme->dump().substr(0, 120)));
    }
  }

  QuantizationConfig& out_;
  std::vector<Problem>& problems_;
  std::string file_;
};

Result<QuantizationConfig> QuantizationConfig::read(const checkpoint::Checkpoint& checkpoint,
                                                    std::vector<Problem>& problems) {
  QuantizationConfig config;
  QuantizationReader reader(config, problems);
  SLUICE_ASSIGN(const std::optional<Json> root, checkpoint.side_json("config.json"));
  if (root) {
    const Json* text_config = root->find("text_config");
    for (const Json* level : {&*root, text_config}) {
      if (level == nullptr || config.present()) continue;
      for (const char* key : {"quantization_config", "compression_config", "quantization"}) {
        const Json* quantization = find_set(*level, key);
        if (quantization == nullptr || !quantization->is_object() ||
            is_empty_container(*quantization))
          continue;
        reader.config_json(*quantization);
        break;
      }
    }
  }
  SLUICE_ASSIGN(const std::optional<Json> second, checkpoint.side_json("hf_quant_config.json"));
  if (second) reader.hf_quant_config(*second);
  return config;
}

std::vector<ModuleScheme> QuantizationConfig::announced(const ModuleName& module,
                                                        std::vector<Problem>& problems) const {
  std::vector<ModuleScheme> result;
  const auto strength = [&](const Source& source, const ModulePattern& pattern) {
    Result<ModulePattern::Strength> matched = pattern.match(module);
    if (matched.ok()) return *matched;
    problems.push_back(
        {Problem::Severity::kError, "",
         fmt::format("{}: {}: {}", source.file, matched.error().what, matched.error().why),
         matched.error().remedy});
    return ModulePattern::Strength::kNone;
  };
  for (const Source& source : sources_) {
    ModuleScheme found;
    found.origin = source.file;
    if (source.all_linears && module.class_name == "Linear") found = source.schemes.front();
    ModulePattern::Strength best = ModulePattern::Strength::kNone;
    for (const Target& target : source.targets) {
      const ModulePattern::Strength matched = strength(source, target.pattern);
      if (matched > best) {
        best = matched;
        found = source.schemes[target.scheme];
      }
    }
    for (const ModulePattern& pattern : source.ignored) {
      if (found.weights == StoredScheme::kUnquantized) break;
      if (strength(source, pattern) == ModulePattern::Strength::kNone) continue;
      const std::string origin =
          fmt::format("{} (\"{}\" is excluded)", source.file, pattern.text());
      found = ModuleScheme();
      found.origin = origin;
    }
    result.push_back(std::move(found));
  }
  return result;
}

}  // namespace sluice::model
