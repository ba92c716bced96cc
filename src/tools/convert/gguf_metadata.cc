#include "tools/convert/gguf_metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include "base/json.h"

namespace sluice::convert {
namespace {

using checkpoint::GgufArray;
using checkpoint::GgufMetadata;
using checkpoint::GgufType;
using model::TextConfig;

constexpr uint64_t kQuantizationVersion = 2;  // of ggml's block layouts

// "27B", "4.1M": two digits at least.
std::string size_label(int64_t parameters) {
  constexpr std::array<std::pair<double, const char*>, 4> kUnits = {
      {{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "K"}}};
  const auto count = static_cast<double>(parameters);
  for (const auto& [unit, letter] : kUnits) {
    if (count >= unit || unit == 1e3)
      return fmt::format("{:.{}f}{}", count / unit, count / unit < 9.5 ? 1 : 0, letter);
  }
  return {};
}

int64_t parameters_of(const Source& source, bool draft) {
  int64_t sum = 0;
  for (const SourceWeight& weight : source.weights) {
    if (!draft && weight.draft()) continue;
    sum += weight.bound->matrix.rows * weight.bound->matrix.columns;
  }
  return sum;
}

std::string folder_name(const std::filesystem::path& path) {
  std::error_code ignored;
  const auto whole = std::filesystem::weakly_canonical(path, ignored);
  const auto folder = std::filesystem::is_directory(whole, ignored) ? whole : whole.parent_path();
  return folder.filename().string();
}

const Json* member(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

// A rotary key, wherever this generation of config files keeps it.
const Json* rotary_key(const Json& text, std::string_view key) {
  for (const char* group : {"rope_parameters", "rope_scaling"}) {
    const Json* object = member(text, group);
    const Json* value = object == nullptr ? nullptr : member(*object, key);
    if (value != nullptr) return value;
  }
  return member(text, key);
}

class Writer {
 public:
  explicit Writer(GgufMetadata& out) : out_(out) {}
  void integer(std::string_view key, int64_t value) {
    out_.add(fmt::format("qwen35.{}", key), static_cast<uint64_t>(value), GgufType::kU32);
  }
  void real(std::string_view key, double value) {
    out_.add(fmt::format("qwen35.{}", key), static_cast<double>(static_cast<float>(value)),
             GgufType::kF32);
  }
  void text(std::string key, std::string value) { out_.add(std::move(key), std::move(value)); }

 private:
  GgufMetadata& out_;
};

Status add_sampling(const Source& source, GgufMetadata& out) {
  SLUICE_ASSIGN(const auto generation, source.checkpoint->side_json("generation_config.json"));
  if (!generation) return {};
  if (const Json* top_k = member(*generation, "top_k"); top_k != nullptr && top_k->as_int64())
    out.add("general.sampling.top_k", *top_k->as_int64(), GgufType::kI32);
  for (const auto& [key, name] : {std::pair{"top_p", "top_p"},
                                  {"min_p", "min_p"},
                                  {"temperature", "temp"},
                                  {"repetition_penalty", "penalty_repeat"}}) {
    const Json* value = member(*generation, key);
    if (value == nullptr || !value->as_double()) continue;
    out.add(fmt::format("general.sampling.{}", name),
            static_cast<double>(static_cast<float>(*value->as_double())), GgufType::kF32);
  }
  return {};
}

Status add_rotary(const TextConfig& config, const Json& text, GgufMetadata& out) {
  Writer write(out);
  std::vector<int64_t> sections = {11, 11, 10};  // the converter's default, architecture.md 2.3
  if (const Json* stated = rotary_key(text, "mrope_section")) {
    sections.clear();
    for (const Json& count : stated->items()) sections.push_back(count.as_int64().value_or(0));
  }
  sections.resize(4, 0);
  out.add("qwen35.rope.dimension_sections", GgufArray(sections), GgufType::kI32);
  const Json* theta = rotary_key(text, "rope_theta");
  write.real("rope.freq_base", theta == nullptr ? 1e7 : theta->as_double().value_or(1e7));
  const Json* share = rotary_key(text, "partial_rotary_factor");
  const double part = share == nullptr ? 0.25 : share->as_double().value_or(0.25);
  write.integer("rope.dimension_count",
                static_cast<int64_t>(static_cast<double>(config.head_dim) * part));
  const Json* type = rotary_key(text, "rope_type");
  if (type == nullptr || !type->is_string() || type->string() != "yarn") return {};
  for (const char* key : {"attention_factor", "mscale", "mscale_all_dim", "truncate"}) {
    if (rotary_key(text, key) != nullptr)
      return bad_input("config.json", fmt::format("YaRN's {} has no key in GGUF", key),
                       "Convert to safetensors, or remove the key");
  }
  out.add("qwen35.rope.scaling.type", std::string("yarn"));
  const Json* factor = rotary_key(text, "factor");
  if (factor != nullptr) write.real("rope.scaling.factor", factor->as_double().value_or(1));
  if (const Json* original = rotary_key(text, "original_max_position_embeddings"))
    write.integer("rope.scaling.original_context_length", original->as_int64().value_or(0));
  for (const auto& [key, name] :
       {std::pair{"beta_fast", "yarn_beta_fast"}, {"beta_slow", "yarn_beta_slow"}}) {
    if (const Json* beta = rotary_key(text, key))
      write.real(fmt::format("rope.scaling.{}", name), beta->as_double().value_or(0));
  }
  return {};
}

Status add_geometry(const TextConfig& config, const Json& text, const GgufFacts& facts,
                    GgufMetadata& out) {
  if (config.gdn_key_dim != config.gdn_value_dim) {
    return bad_input(
        "config.json",
        fmt::format("key heads of {} and value heads of {}: GGUF has one width for both",
                    config.gdn_key_dim, config.gdn_value_dim),
        "Convert to safetensors");
  }
  Writer write(out);
  const int64_t blocks = config.layers + (facts.draft ? 1 : 0);
  write.integer("block_count", blocks);
  const Json* context = member(text, "max_position_embeddings");
  write.integer("context_length",
                context == nullptr ? config.context : context->as_int64().value_or(config.context));
  write.integer("embedding_length", config.hidden);
  write.integer("feed_forward_length", config.intermediate);
  write.integer("attention.head_count", config.query_heads);
  write.integer("attention.head_count_kv", config.kv_heads);
  SLUICE_TRY(add_rotary(config, text, out));
  write.real("attention.layer_norm_rms_epsilon", static_cast<double>(config.rms_eps));
  write.integer("attention.key_length", config.head_dim);
  write.integer("attention.value_length", config.head_dim);
  if (facts.draft) write.integer("nextn_predict_layers", 1);
  write.integer("ssm.conv_kernel", config.conv_kernel);
  write.integer("ssm.state_size", config.gdn_key_dim);
  write.integer("ssm.group_count", config.gdn_key_heads);
  write.integer("ssm.time_step_rank", config.gdn_value_heads);
  write.integer("ssm.inner_size", config.gdn_value_heads * config.gdn_value_dim);
  std::vector<bool> recurrent;
  for (const model::LayerType type : config.layer_types)
    recurrent.push_back(type == model::LayerType::kLinearAttention);
  recurrent.resize(static_cast<size_t>(blocks), false);
  out.add("qwen35.attention.recurrent_layers", GgufArray(recurrent));
  const Json* interval = member(text, "full_attention_interval");
  write.integer("full_attention_interval",
                interval == nullptr ? 4 : interval->as_int64().value_or(4));
  return {};
}

void add_build_keys(const GgufFacts& facts, GgufMetadata& out) {
  out.add("general.quantization_version", kQuantizationVersion, GgufType::kU32);
  out.add("general.file_type", facts.file_type, GgufType::kU32);
  if (facts.importance_file.empty()) return;
  out.add("quantize.imatrix.file", facts.importance_file);
  if (!facts.importance_dataset.empty())
    out.add("quantize.imatrix.dataset", facts.importance_dataset);
  out.add("quantize.imatrix.entries_count", facts.importance_entries, GgufType::kU32);
  out.add("quantize.imatrix.chunks_count", facts.importance_chunks, GgufType::kU32);
}

// Keys that describe the file, not the model.
bool is_of_file(std::string_view key) {
  return key.starts_with("quantize.") || key.starts_with("general.tensor_extra.") ||
         key == "general.file_type" || key == "general.quantization_version";
}

// Of another GGUF: what describes the model stays, what describes the file is new.
Result<GgufMetadata> metadata_of_gguf(const Source& source, const GgufFacts& facts) {
  const GgufMetadata& old = *source.checkpoint->gguf();
  const TextConfig& config = source.binding.config;
  const auto blocks = static_cast<uint64_t>(config.layers + (facts.draft ? 1 : 0));
  GgufMetadata out;
  for (size_t i = 0; i < old.entries().size(); ++i) {
    const auto& [key, value] = old.entries()[i];
    if (key.starts_with("split.") || key == "general.alignment" ||
        key == "qwen35.nextn_predict_layers" || (!facts.copied && is_of_file(key)))
      continue;
    if (key == "qwen35.block_count") {
      out.add(key, blocks, GgufType::kU32);
      if (facts.draft) out.add("qwen35.nextn_predict_layers", uint64_t{1}, GgufType::kU32);
    } else if (key == "qwen35.attention.recurrent_layers") {
      std::vector<bool> recurrent;
      for (const model::LayerType type : config.layer_types)
        recurrent.push_back(type == model::LayerType::kLinearAttention);
      recurrent.resize(static_cast<size_t>(blocks), false);
      out.add(key, GgufArray(recurrent));
    } else {
      out.add(key, value, old.stored_type(i));
    }
  }
  if (!facts.copied) add_build_keys(facts, out);
  return out;
}

}  // namespace

Status add_general_keys(const Source& source, std::string_view architecture, std::string_view type,
                        int64_t parameters, GgufMetadata& metadata) {
  metadata.add("general.architecture", std::string(architecture));
  metadata.add("general.type", std::string(type));
  SLUICE_TRY(add_sampling(source, metadata));
  metadata.add("general.name", folder_name(source.path));
  metadata.add("general.size_label", size_label(parameters));
  return {};
}

Result<GgufMetadata> gguf_metadata(const Source& source, const GgufFacts& facts) {
  if (source.gguf()) return metadata_of_gguf(source, facts);
  SLUICE_ASSIGN(const auto root, source.checkpoint->side_json("config.json"));
  if (!root) return bad_input(source.path.string(), "there is no config.json beside the weights");
  const Json* inner = member(*root, "text_config");
  GgufMetadata out;
  SLUICE_TRY(add_general_keys(source, "qwen35", "model", parameters_of(source, facts.draft), out));
  SLUICE_TRY(add_geometry(source.binding.config, inner == nullptr ? *root : *inner, facts, out));
  add_build_keys(facts, out);
  SLUICE_TRY(add_tokenizer_keys(source, out));
  return out;
}

}  // namespace sluice::convert
