#include "model/quantization_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>
#include <utility>

#include "model/json_fields.h"
#include "model/scheme_arguments.h"

namespace sluice::model {

std::string_view stored_scheme_name(StoredScheme scheme) {
  static constexpr std::array<std::string_view, 9> kNames = {
      "unquantized", "FP8 per block", "FP8 per channel", "FP8 per tensor", "NVFP4",
      "W4A8 NVFP4",  "integer",       "MXFP4",           "MXFP8"};
  return kNames[static_cast<size_t>(scheme)];
}

namespace {
constexpr size_t kMostEntries = 50'000;
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
      return modelopt(quantization);
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
    modelopt(*quantization);
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
    // Every module is held against every entry: a list of millions would be an attack.
    if (++entries_ > kMostEntries) {
      if (entries_ == kMostEntries + 1)
        refuse(fmt::format("more than {} modules are listed", kMostEntries));
    } else if (pattern.ok()) {
      out.push_back(*std::move(pattern));
    } else {
      const Error& error = pattern.error();
      problems_.push_back({Problem::Severity::kError, "",
                           fmt::format("{}: {}: {}", file_, error.what, error.why), error.remedy});
    }
  }

  // ---------------------------------------------- fp8

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
      const auto size = read_block_size(*block);
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

  // ---------------------------------------------- compressed-tensors

  void compressed_tensors(const Json& config) {
    for (const char* key : {"sparsity_config", "transform_config", "moe_sparsity_config"}) {
      const Json* value = find_set(config, key);
      if (value == nullptr || is_empty_container(*value)) continue;
      if (std::string_view(key) == "sparsity_config" && text_of(*value, "format") == "dense")
        continue;
      const Json* groups = value->find("config_groups");
      if (std::string_view(key) == "transform_config" && groups != nullptr &&
          value->members().size() == 1 && is_empty_container(*groups)) {
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
    if (!is_known_format(format)) refuse(fmt::format("format \"{}\" is not supported", format));
  }

  void group_scheme(const std::string& name, const Json& group, const std::string& global_format,
                    Source& source) {
    std::string format = text_of(group, "format");
    check_format(format);
    if (format.empty() && global_format != "mixed-precision") format = global_format;
    ModuleScheme scheme;  // a group without weights leaves its targets unquantized
    if (const Json* weights = find_set(group, "weights")) {
      if (!read_group(name, group, *weights, scheme)) return;
      if (!format_fits(format, scheme.weights)) {
        return refuse(fmt::format("config_groups.{} has format {} and arguments of {} weights",
                                  name, format, stored_scheme_name(scheme.weights)));
      }
    }
    scheme.origin = fmt::format("{} config_groups.{}", file_, name);
    source.schemes.push_back(scheme);
    for (ModulePattern& pattern : patterns(group, "targets", Dialect::kCompressedTensors)) {
      source.targets.push_back({std::move(pattern), source.schemes.size() - 1});
    }
  }

  // Weights and activations of a config group, in the form that both compressed-tensors and
  // ModelOpt write.
  bool read_group(const std::string& name, const Json& group, const Json& weights,
                  ModuleScheme& scheme) {
    Result<ModuleScheme> read = weight_scheme(weights);
    if (!read.ok()) {
      refuse(fmt::format("config_groups.{}: {}", name, read.error().why));
      return false;
    }
    scheme = *std::move(read);
    const Json* inputs = find_set(group, "input_activations");
    if (inputs == nullptr) return true;
    if (const std::optional<ActivationScheme> activations = activation_scheme(*inputs)) {
      scheme.activations = *activations;
    } else {
      problems_.push_back({Problem::Severity::kWarning, "",
                           fmt::format("{}: Q-10: config_groups.{}: activations of {} are not "
                                       "supported; the weights run with "
                                       "untouched activations",
                                       file_, name, arguments_text(*inputs)),
                           ""});
    }
    return true;
  }

  // ---------------------------------------------- ModelOpt

  // Both files alike: config.json may have config_groups, hf_quant_config.json has none.
  void modelopt(const Json& config) {
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
      modelopt_groups(config, source);
      if (source.schemes.empty() && !algorithm.empty()) {
        return refuse("quant_algo MIXED_PRECISION without quantized_layers or config_groups");
      }
    } else {
      std::optional<ModuleScheme> known = modelopt_scheme(algorithm);
      if (!known) return refuse_algorithm(algorithm);
      ModuleScheme& scheme = *known;
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
      const std::string algorithm = text_of(entry, "quant_algo");
      if (algorithm.empty()) continue;
      std::optional<ModuleScheme> known = modelopt_scheme(algorithm);
      if (!known) {
        refuse_algorithm(algorithm);
        continue;
      }
      ModuleScheme& scheme = *known;
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
      if (weights == nullptr || !read_group(name, group, *weights, scheme)) continue;
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

  void refuse_algorithm(const std::string& algorithm) {
    refuse(fmt::format("quant_algo \"{}\" is not supported", algorithm));
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
  size_t entries_ = 0;
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
