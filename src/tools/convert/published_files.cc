#include "tools/convert/published_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/file.h"
#include "tools/convert/tower_keys.h"

namespace sluice::convert {
namespace {

namespace fs = std::filesystem;
using checkpoint::GgufMetadata;

constexpr uint64_t kMaxSideFile = uint64_t{256} << 20;

// Carried over byte by byte. Weights, indexes and what describes the old build's quantization are
// not among them.
constexpr std::array kCarried = {"tokenizer.json",
                                 "tokenizer_config.json",
                                 "chat_template.jinja",
                                 "chat_template.json",
                                 "generation_config.json",
                                 "vocab.json",
                                 "merges.txt",
                                 "special_tokens_map.json",
                                 "added_tokens.json",
                                 "preprocessor_config.json",
                                 "video_preprocessor_config.json",
                                 "processor_config.json",
                                 "LICENSE"};
constexpr std::string_view kOfVision[] = {
    "preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json"};

Json without(const Json& object, std::initializer_list<std::string_view> keys) {
  Json out = Json::object();
  for (const auto& [key, value] : object.members()) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) out.set(key, value);
  }
  return out;
}

// The text model's keys at the top level, under the class that has no tower.
Json text_only_config(const Json& root) {
  const Json* text = root.find("text_config");
  Json out = Json::object();
  Json architectures = Json::array();
  architectures.push_back("Qwen3_5ForCausalLM");
  out.set("architectures", std::move(architectures));
  out.set("model_type", "qwen3_5_text");
  const Json& level = text != nullptr && text->is_object() ? *text : root;
  for (const auto& [key, value] : level.members()) {
    if (key != "architectures" && key != "model_type") out.set(key, value);
  }
  for (const char* key : {"tie_word_embeddings", "transformers_version"}) {
    if (const Json* value = root.find(key)) out.set(key, *value);
  }
  return out;
}

Status write_text(const fs::path& path, const std::string& text) {
  return write_file(path, std::as_bytes(std::span(text)), false);
}

std::string json_text(const Json& json) { return json.dump(2) + "\n"; }

// Sampling defaults and end tokens of a GGUF as generation_config.json spells them.
Result<Json> generation_of_gguf(const Source& source) {
  const GgufMetadata& metadata = *source.checkpoint->gguf();
  Json out = Json::object();
  out.set("do_sample", true);
  for (const auto& [key, name] : {std::pair{"temp", "temperature"},
                                  {"top_p", "top_p"},
                                  {"min_p", "min_p"},
                                  {"penalty_repeat", "repetition_penalty"}}) {
    SLUICE_ASSIGN(const auto value, metadata.real(fmt::format("general.sampling.{}", key)));
    // Stored as F32: seven digits give back what was meant.
    if (value) out.set(name, Json::number_from_spelling(fmt::format("{:.7g}", *value)));
  }
  SLUICE_ASSIGN(const auto top_k, metadata.unsigned_integer("general.sampling.top_k"));
  if (top_k) out.set("top_k", *top_k);
  for (const auto& [key, name] :
       {std::pair{"bos_token_id", "bos_token_id"}, {"padding_token_id", "pad_token_id"}}) {
    SLUICE_ASSIGN(const auto id, metadata.unsigned_integer(fmt::format("tokenizer.ggml.{}", key)));
    if (id) out.set(name, *id);
  }
  Json ends = Json::array();
  for (const int32_t id : source.binding.config.stop_ids) ends.push_back(int64_t{id});
  if (!ends.items().empty()) out.set("eos_token_id", std::move(ends));
  return out;
}

}  // namespace

bool text_only_names(const Source& source, bool keep_vision) {
  if (source.gguf()) return source.mmproj == nullptr || !keep_vision;
  if (!source.vision.empty()) return !keep_vision;
  const SourceWeight* embedding = source.find("embed_tokens.weight");
  return embedding != nullptr && embedding->bound->name.starts_with("model.embed_tokens");
}

Result<Json> config_of_gguf(const Source& source) {
  const model::TextConfig& config = source.binding.config;
  const GgufMetadata& metadata = *source.checkpoint->gguf();
  Json out = Json::object();
  Json architectures = Json::array();
  architectures.push_back("Qwen3_5ForCausalLM");
  out.set("architectures", std::move(architectures));
  out.set("model_type", "qwen3_5_text");
  out.set("attention_bias", false);
  out.set("attention_dropout", Json::number_from_spelling("0.0"));
  out.set("attn_output_gate", true);
  out.set("dtype", "bfloat16");
  SLUICE_ASSIGN(const auto interval, metadata.unsigned_integer("qwen35.full_attention_interval"));
  out.set("full_attention_interval", interval.value_or(4));
  out.set("head_dim", config.head_dim);
  out.set("hidden_act", "silu");
  out.set("hidden_size", config.hidden);
  out.set("intermediate_size", config.intermediate);
  Json types = Json::array();
  for (const model::LayerType type : config.layer_types)
    types.push_back(type == model::LayerType::kFullAttention ? "full_attention"
                                                             : "linear_attention");
  out.set("layer_types", std::move(types));
  out.set("linear_conv_kernel_dim", config.conv_kernel);
  out.set("linear_key_head_dim", config.gdn_key_dim);
  out.set("linear_num_key_heads", config.gdn_key_heads);
  out.set("linear_num_value_heads", config.gdn_value_heads);
  out.set("linear_value_head_dim", config.gdn_value_dim);
  out.set("mamba_ssm_dtype", "float32");
  SLUICE_ASSIGN(const auto context, metadata.unsigned_integer("qwen35.context_length"));
  out.set("max_position_embeddings", context ? Json(*context) : Json(config.context));
  out.set("mtp_num_hidden_layers", config.mtp_layers);
  out.set("mtp_use_dedicated_embeddings", source.find("mtp.embed_tokens.weight") != nullptr);
  out.set("num_attention_heads", config.query_heads);
  out.set("num_hidden_layers", config.layers);
  out.set("num_key_value_heads", config.kv_heads);
  out.set("output_gate_type", "swish");
  out.set("rms_norm_eps",
          Json::number_from_spelling(fmt::format("{:.7g}", static_cast<double>(config.rms_eps))));
  SLUICE_ASSIGN(const auto theta, metadata.real("qwen35.rope.freq_base"));
  SLUICE_ASSIGN(const auto sections, metadata.integers("qwen35.rope.dimension_sections"));
  SLUICE_ASSIGN(const auto width, metadata.unsigned_integer("qwen35.rope.dimension_count"));
  SLUICE_ASSIGN(const auto scaling, metadata.string("qwen35.rope.scaling.type"));
  Json rope = Json::object();
  rope.set("mrope_interleaved", true);
  Json section = Json::array();
  for (size_t i = 0; sections && i < 3 && i < sections->size(); ++i)
    section.push_back((*sections)[i]);
  rope.set("mrope_section", std::move(section));
  rope.set("partial_rotary_factor",
           static_cast<double>(width.value_or(static_cast<uint64_t>(config.head_dim))) /
               static_cast<double>(config.head_dim));
  rope.set("rope_theta", Json::number_from_spelling(fmt::format("{:.10g}", theta.value_or(1e7))));
  rope.set("rope_type", "default");
  if (scaling && *scaling == "yarn") {
    rope.set("rope_type", "yarn");
    SLUICE_ASSIGN(const auto factor, metadata.real("qwen35.rope.scaling.factor"));
    SLUICE_ASSIGN(const auto original,
                  metadata.unsigned_integer("qwen35.rope.scaling.original_context_length"));
    if (factor) rope.set("factor", Json::number_from_spelling(fmt::format("{:.7g}", *factor)));
    if (original) rope.set("original_max_position_embeddings", *original);
  }
  out.set("rope_parameters", std::move(rope));
  out.set("tie_word_embeddings", config.tied);
  out.set("use_cache", true);
  out.set("vocab_size", config.vocabulary);
  for (const auto& [key, name] :
       {std::pair{"bos_token_id", "bos_token_id"}, {"eos_token_id", "eos_token_id"}}) {
    SLUICE_ASSIGN(const auto id, metadata.unsigned_integer(fmt::format("tokenizer.ggml.{}", key)));
    if (id) out.set(name, *id);
  }
  return out;
}

Result<Json> published_config(const Source& source, const PublishedFacts& facts) {
  Json config;
  if (source.gguf()) {
    SLUICE_ASSIGN(config, config_of_gguf(source));
    if (facts.vision) {
      SLUICE_ASSIGN(config, multimodal_config(source, std::move(config)));
    }
  } else {
    SLUICE_ASSIGN(auto root, source.checkpoint->side_json("config.json"));
    if (!root) return bad_input(source.path.string(), "there is no config.json beside the weights");
    config = std::move(*root);
  }
  config = without(config, {"quantization_config", "compression_config"});
  if (!source.vision.empty() && !facts.vision) config = text_only_config(config);
  Json* text = config.find("text_config");
  if (text != nullptr && text->is_object())
    *text = without(*text, {"quantization_config", "compression_config"});
  Json& level = text != nullptr && text->is_object() ? *text : config;
  if (!facts.draft && level.find("mtp_num_hidden_layers") != nullptr)
    level.set("mtp_num_hidden_layers", 0);
  if (facts.draft) level.set("mtp_num_hidden_layers", 1);
  for (Json* object : {&config, &level}) {
    for (const char* key : {"dtype", "torch_dtype"}) {
      if (object->find(key) != nullptr) object->set(key, "bfloat16");
    }
  }
  if (facts.quantization_config) config.set("quantization_config", *facts.quantization_config);
  return config;
}

Status write_published_files(const Source& source, const PublishedFacts& facts,
                             const fs::path& folder) {
  SLUICE_ASSIGN(const Json config, published_config(source, facts));
  SLUICE_TRY(write_text(folder / "config.json", json_text(config)));
  if (source.gguf()) {
    SLUICE_ASSIGN(const Json generation, generation_of_gguf(source));
    SLUICE_TRY(write_text(folder / "generation_config.json", json_text(generation)));
    if (facts.vision) SLUICE_TRY(write_processor_files(source, folder));
    return write_gguf_tokenizer(source, folder);
  }
  for (const char* name : kCarried) {
    const bool of_vision =
        std::find(std::begin(kOfVision), std::end(kOfVision), name) != std::end(kOfVision);
    std::error_code ignored;
    const fs::path from = source.checkpoint->folder() / name;
    if ((of_vision && !facts.vision) || !fs::is_regular_file(from, ignored)) continue;
    SLUICE_ASSIGN(const std::string bytes, read_file(from, kMaxSideFile));
    SLUICE_TRY(write_text(folder / name, bytes));
  }
  return {};
}

}  // namespace sluice::convert
