// config.json to TextConfig (architecture.md section 2). A key that is present always wins;
// geometry that is absent is an error, never a class default: libraries disagree about those
// (architecture.md 10, item 5).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>

#include "model/config_readers.h"
#include "model/json_fields.h"

namespace sluice::model {
namespace {

constexpr const char* kFile = "config.json";

Error wrong_kind(std::string_view key, const Json& value, std::string_view wanted) {
  return bad_input(kFile, fmt::format("{} is {}, expected {}", key, value.kind_name(), wanted));
}

Result<std::optional<int64_t>> integer(const Json& object, std::string_view key) {
  const Json* value = find_set(object, key);
  if (value == nullptr) return std::optional<int64_t>();
  const std::optional<int64_t> number = value->as_int64();
  if (!number) return wrong_kind(key, *value, "an integer");
  return number;
}

Result<std::optional<double>> real(const Json& object, std::string_view key) {
  const Json* value = find_set(object, key);
  if (value == nullptr) return std::optional<double>();
  const std::optional<double> number = value->as_double();
  if (!number) return wrong_kind(key, *value, "a number");
  return number;
}

Result<std::optional<bool>> boolean(const Json& object, std::string_view key) {
  const Json* value = find_set(object, key);
  if (value == nullptr) return std::optional<bool>();
  if (!value->is_boolean()) return wrong_kind(key, *value, "true or false");
  return std::optional<bool>(value->boolean());
}

Result<std::optional<std::string>> text(const Json& object, std::string_view key) {
  const Json* value = find_set(object, key);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return wrong_kind(key, *value, "a string");
  return std::optional<std::string>(value->string());
}

Status require_integer(const Json& object, std::string_view key, int64_t& out) {
  SLUICE_ASSIGN(const std::optional<int64_t> value, integer(object, key));
  if (!value)
    return bad_input(kFile, fmt::format("{} is missing", key),
                     "take the config.json that belongs to the weights");
  out = *value;
  return {};
}

// A switch of the architecture that has one supported position.
Status require_switch(const Json& object, std::string_view key, bool wanted,
                      std::string_view otherwise) {
  SLUICE_ASSIGN(const std::optional<bool> value, boolean(object, key));
  if (!value || *value == wanted) return {};
  return bad_input(kFile,
                   fmt::format("{} is {}: {}, which is not supported", key, *value, otherwise));
}

Status check_model_type(const Json& root, const Json& text_config) {
  SLUICE_ASSIGN(const std::optional<std::string> type, text(root, "model_type"));
  if (!type)
    return bad_input(kFile, "model_type is missing",
                     "this does not look like a model's config.json");
  if (*type != "qwen3_5" && *type != "qwen3_5_text") return refuse_architecture(kFile, *type);
  SLUICE_ASSIGN(const std::optional<std::string> inner, text(text_config, "model_type"));
  if (inner && *inner != "qwen3_5" && *inner != "qwen3_5_text")
    return refuse_architecture(kFile, *inner);

  const Json* architectures = find_set(root, "architectures");
  if (architectures == nullptr) return {};
  if (!architectures->is_array()) return wrong_kind("architectures", *architectures, "an array");
  for (const Json& name : architectures->items()) {
    if (!name.is_string()) return wrong_kind("architectures", name, "strings");
    if (name.string() != "Qwen3_5ForCausalLM" &&
        name.string() != "Qwen3_5ForConditionalGeneration") {
      return bad_input(kFile, fmt::format("architecture {} is not supported", name.string()),
                       "use a Qwen3_5ForCausalLM or Qwen3_5ForConditionalGeneration model");
    }
  }
  return {};
}

// What would change the arithmetic if it were set.
Status check_switches(const Json& config) {
  SLUICE_TRY(
      require_switch(config, "attention_bias", false, "biases in the attention projections"));
  SLUICE_TRY(require_switch(config, "attn_output_gate", true, "attention without an output gate"));
  SLUICE_TRY(require_switch(config, "layer_scale", false, "scaled residual branches"));
  SLUICE_TRY(require_switch(config, "use_sliding_window", false, "sliding-window attention"));
  SLUICE_ASSIGN(const std::optional<std::string> gate, text(config, "output_gate_type"));
  if (gate && *gate != "swish" && *gate != "silu") {
    return bad_input(kFile, fmt::format("output_gate_type \"{}\" is not supported", *gate),
                     "swish and silu are");
  }
  SLUICE_ASSIGN(const std::optional<std::string> activation, text(config, "hidden_act"));
  if (activation && *activation != "silu" && *activation != "swish") {
    return bad_input(kFile, fmt::format("hidden_act \"{}\" is not supported", *activation),
                     "silu is");
  }
  return {};
}

Status read_layer_types(const Json& config, TextConfig& out) {
  if (const Json* types = find_set(config, "layer_types")) {
    if (!types->is_array()) return wrong_kind("layer_types", *types, "an array");
    if (static_cast<int64_t>(types->items().size()) != out.layers) {
      return bad_input(kFile, fmt::format("layer_types has {} entries, num_hidden_layers is {}",
                                          types->items().size(), out.layers));
    }
    for (const Json& type : types->items()) {
      if (!type.is_string()) return wrong_kind("layer_types", type, "strings");
      if (type.string() == "linear_attention") {
        out.layer_types.push_back(LayerType::kLinearAttention);
      } else if (type.string() == "full_attention") {
        out.layer_types.push_back(LayerType::kFullAttention);
      } else {
        return bad_input(kFile, fmt::format("layer type \"{}\" is not supported", type.string()),
                         "linear_attention and full_attention are");
      }
    }
    return {};
  }
  SLUICE_ASSIGN(const std::optional<int64_t> interval, integer(config, "full_attention_interval"));
  const int64_t every = interval.value_or(4);
  if (every < 1) return bad_input(kFile, fmt::format("full_attention_interval is {}", every));
  if (out.layers < 0 || out.layers > 4096)
    return bad_input(kFile, fmt::format("num_hidden_layers is {}", out.layers));
  for (int64_t layer = 0; layer < out.layers; ++layer) {
    out.layer_types.push_back((layer + 1) % every == 0 ? LayerType::kFullAttention
                                                       : LayerType::kLinearAttention);
  }
  return {};
}

// ---------------------------------------------- rotary

bool same_value(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return a.as_double() == b.as_double();  // 10000000 and 1e7
  if (a.is_array() && b.is_array()) {
    return std::equal(a.items().begin(), a.items().end(), b.items().begin(), b.items().end(),
                      same_value);
  }
  return a == b;
}

// The one dictionary of rotary keys, from the new layout (rope_parameters), the old one
// (rope_scaling and keys at the text level), or both where they agree (architecture.md 2.3).
Result<Json> rope_dictionary(const Json& config) {
  Json rope = Json::object();
  for (const char* name : {"rope_parameters", "rope_scaling"}) {
    const Json* source = find_set(config, name);
    if (source == nullptr) continue;
    if (!source->is_object()) return wrong_kind(name, *source, "an object");
    for (const auto& [key, value] : source->members()) {
      if (value.is_null()) continue;
      const std::string canonical = key == "type" ? "rope_type" : key;  // the old spelling
      const Json* earlier = rope.find(canonical);
      if (earlier != nullptr && !same_value(*earlier, value)) {
        return bad_input(
            kFile,
            fmt::format("rope_parameters and rope_scaling contradict each other: {} is {} and {}",
                        key, earlier->dump(), value.dump()),
            "keep one of them");
      }
      rope.set(canonical, value);
    }
  }
  for (const char* key : {"rope_theta", "partial_rotary_factor"}) {
    const Json* outer = find_set(config, key);
    if (outer == nullptr) continue;
    const Json* inner = rope.find(key);
    if (inner != nullptr && !same_value(*inner, *outer)) {
      return bad_input(kFile,
                       fmt::format("{} is {} beside the rope keys and {} among them", key,
                                   outer->dump(), inner->dump()),
                       "keep one of them");
    }
    rope.set(key, *outer);
  }
  return rope;
}

Status read_sections(const Json& rope, int64_t pairs, RotaryParameters& out) {
  const Json* sections = find_set(rope, "mrope_section");
  if (sections == nullptr) return {};
  if (!sections->is_array() || sections->items().size() != 3) {
    return bad_input(kFile, "mrope_section is not an array of three integers");
  }
  int64_t sum = 0;
  for (size_t i = 0; i < 3; ++i) {
    const std::optional<int64_t> count = sections->items()[i].as_int64();
    if (!count || *count < 0 || *count > pairs) {
      return bad_input(kFile, fmt::format("mrope_section entry {} of {} rotary pairs",
                                          sections->items()[i].dump(), pairs));
    }
    out.sections[i] = *count;
    sum += *count;
  }
  if (sum != pairs)
    return bad_input(
        kFile, fmt::format("mrope_section sums to {}, there are {} rotary pairs", sum, pairs));
  return {};
}

Result<YarnParameters> read_yarn(const Json& rope, int64_t max_positions) {
  YarnParameters yarn;
  SLUICE_ASSIGN(const std::optional<double> original,
                real(rope, "original_max_position_embeddings"));
  yarn.original_context = original.value_or(static_cast<double>(max_positions));
  SLUICE_ASSIGN(const std::optional<double> factor, real(rope, "factor"));
  if (!factor && !original) return bad_input(kFile, "rope type yarn needs factor");
  yarn.factor = factor.value_or(static_cast<double>(max_positions) / yarn.original_context);
  SLUICE_ASSIGN(yarn.attention_factor, real(rope, "attention_factor"));
  SLUICE_ASSIGN(yarn.mscale, real(rope, "mscale"));
  SLUICE_ASSIGN(yarn.mscale_all_dim, real(rope, "mscale_all_dim"));
  SLUICE_ASSIGN(const std::optional<double> fast, real(rope, "beta_fast"));
  SLUICE_ASSIGN(const std::optional<double> slow, real(rope, "beta_slow"));
  // The reference takes 0 for unset as well.
  if (fast.value_or(0) != 0) yarn.beta_fast = *fast;
  if (slow.value_or(0) != 0) yarn.beta_slow = *slow;
  SLUICE_ASSIGN(const std::optional<bool> truncate, boolean(rope, "truncate"));
  yarn.truncate = truncate.value_or(true);
  return yarn;
}

Result<RotaryParameters> read_rotary(const Json& config, TextConfig& out) {
  SLUICE_ASSIGN(const Json rope, rope_dictionary(config));
  RotaryParameters rotary;
  SLUICE_ASSIGN(const std::optional<double> theta, real(rope, "rope_theta"));
  if (!theta) {
    return bad_input(kFile, "rope_theta is missing",
                     "libraries disagree about its default; write it down (10000000 as published)");
  }
  rotary.theta = *theta;
  SLUICE_ASSIGN(const std::optional<double> partial, real(rope, "partial_rotary_factor"));
  const double share = partial.value_or(0.25);
  if (!(share > 0 && share <= 1))
    return bad_input(kFile, fmt::format("partial_rotary_factor is {}", share));
  if (out.head_dim < 1 || out.head_dim > 65536)
    return bad_input(kFile, fmt::format("head_dim is {}", out.head_dim));
  rotary.dims = static_cast<int64_t>(static_cast<double>(out.head_dim) * share);
  SLUICE_TRY(require_switch(rope, "mrope_interleaved", true, "contiguous position sections"));
  SLUICE_TRY(read_sections(rope, rotary.dims / 2, rotary));

  SLUICE_ASSIGN(const std::optional<std::string> type, text(rope, "rope_type"));
  if (type && *type == "yarn") {
    SLUICE_ASSIGN(rotary.yarn, read_yarn(rope, out.context));
    const double reach = rotary.yarn->original_context * rotary.yarn->factor;
    if (std::isfinite(reach) && reach < 1e9)
      out.context = std::max(out.context, static_cast<int64_t>(reach));
  } else if (type && *type != "default") {
    return bad_input(kFile, fmt::format("rope type \"{}\" is not supported", *type),
                     "default and yarn are");
  }
  return rotary;
}

// ---------------------------------------------- stop ids

Status add_token_ids(const Json& object, std::string_view key, const char* file,
                     std::vector<int32_t>& out) {
  const Json* value = find_set(object, key);
  if (value == nullptr) return {};
  const Json::Array one{*value};
  for (const Json& id : value->is_array() ? value->items() : one) {
    const std::optional<int64_t> number = id.as_int64();
    if (!number)
      return bad_input(file, fmt::format("{} holds {}, expected token ids", key, id.kind_name()));
    if (*number >= 0 && *number <= INT32_MAX) out.push_back(static_cast<int32_t>(*number));
  }
  return {};
}

// Both end markers stop an answer whatever the configs say (serving-template.md 1.5). Their ids are
// in the tokenizer's small side file; a folder without it relies on generation_config.json.
Status read_stop_ids(const checkpoint::Checkpoint& checkpoint, const Json& root, const Json& config,
                     TextConfig& out) {
  SLUICE_TRY(add_token_ids(root, "eos_token_id", kFile, out.stop_ids));
  SLUICE_TRY(add_token_ids(config, "eos_token_id", kFile, out.stop_ids));
  SLUICE_ASSIGN(const std::optional<Json> generation,
                checkpoint.side_json("generation_config.json"));
  if (generation)
    SLUICE_TRY(add_token_ids(*generation, "eos_token_id", "generation_config.json", out.stop_ids));
  SLUICE_ASSIGN(const std::optional<Json> tokenizer, checkpoint.side_json("tokenizer_config.json"));
  const Json* added = tokenizer ? tokenizer->find("added_tokens_decoder") : nullptr;
  if (added == nullptr || !added->is_object()) return {};
  for (const auto& [id, token] : added->members()) {
    const Json* content = token.find("content");
    if (content == nullptr || !content->is_string()) continue;
    if (content->string() != "<|im_end|>" && content->string() != "<|endoftext|>") continue;
    if (id.empty() || id.size() > 9 ||
        !std::all_of(id.begin(), id.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      return bad_input("tokenizer_config.json",
                       fmt::format("added_tokens_decoder has the id \"{}\"", id));
    }
    out.stop_ids.push_back(std::stoi(id));
  }
  return {};
}

// ---------------------------------------------- whole

Status read_geometry(const Json& config, TextConfig& out) {
  SLUICE_TRY(require_integer(config, "num_hidden_layers", out.layers));
  SLUICE_TRY(require_integer(config, "hidden_size", out.hidden));
  SLUICE_TRY(require_integer(config, "intermediate_size", out.intermediate));
  SLUICE_TRY(require_integer(config, "vocab_size", out.vocabulary));
  SLUICE_TRY(require_integer(config, "num_attention_heads", out.query_heads));
  SLUICE_TRY(require_integer(config, "num_key_value_heads", out.kv_heads));
  SLUICE_TRY(require_integer(config, "head_dim", out.head_dim));
  SLUICE_TRY(require_integer(config, "linear_num_key_heads", out.gdn_key_heads));
  SLUICE_TRY(require_integer(config, "linear_num_value_heads", out.gdn_value_heads));
  SLUICE_TRY(require_integer(config, "linear_key_head_dim", out.gdn_key_dim));
  SLUICE_TRY(require_integer(config, "linear_value_head_dim", out.gdn_value_dim));
  SLUICE_TRY(require_integer(config, "linear_conv_kernel_dim", out.conv_kernel));
  SLUICE_TRY(require_integer(config, "max_position_embeddings", out.context));
  SLUICE_ASSIGN(const std::optional<double> eps, real(config, "rms_norm_eps"));
  if (eps) out.rms_eps = static_cast<float>(*eps);
  SLUICE_ASSIGN(const std::optional<int64_t> mtp, integer(config, "mtp_num_hidden_layers"));
  out.mtp_layers = mtp.value_or(0);
  if (out.mtp_layers < 0)
    return bad_input(kFile, fmt::format("mtp_num_hidden_layers is {}", out.mtp_layers));
  return {};
}

// The embedding doubles as the head. Where neither level says so, the stored tensors do.
Result<bool> read_tied(const checkpoint::Checkpoint& checkpoint, const Json& root,
                       const Json& config) {
  SLUICE_ASSIGN(const std::optional<bool> outer, boolean(root, "tie_word_embeddings"));
  SLUICE_ASSIGN(const std::optional<bool> inner, boolean(config, "tie_word_embeddings"));
  if (outer && inner && *outer != *inner) {
    return bad_input(kFile,
                     fmt::format("tie_word_embeddings is {} at the top level and {} in text_config",
                                 *outer, *inner),
                     "loaders disagree about which one counts; make them equal");
  }
  if (outer || inner) return outer.value_or(inner.value_or(false));
  return std::none_of(
      checkpoint.tensors().begin(), checkpoint.tensors().end(),
      [](const auto& tensor) { return tensor.name.find("lm_head.weight") != std::string::npos; });
}

struct Levels {
  const Json* root;
  const Json* text;  // the level that holds the text model's keys
};

Result<Levels> levels_of(const Json& root) {
  if (!root.is_object())
    return bad_input(kFile, fmt::format("is {}, expected an object", root.kind_name()));
  const Json* inner = find_set(root, "text_config");
  if (inner != nullptr && !inner->is_object())
    return wrong_kind("text_config", *inner, "an object");
  return Levels{&root, inner != nullptr ? inner : &root};
}

// Everything but what the files beside config.json decide: tied weights and stop ids.
Result<RotaryParameters> read_text_keys(const Levels& levels, TextConfig& out) {
  SLUICE_TRY(check_model_type(*levels.root, *levels.text));
  SLUICE_TRY(check_switches(*levels.text));
  out.architecture = "qwen3_5";
  SLUICE_TRY(read_geometry(*levels.text, out));
  SLUICE_TRY(read_layer_types(*levels.text, out));
  return read_rotary(*levels.text, out);
}

}  // namespace

Result<TextConfig> read_json_config(const checkpoint::Checkpoint& checkpoint) {
  SLUICE_ASSIGN(const std::optional<Json> root, checkpoint.side_json(kFile));
  if (!root) {
    return bad_input(checkpoint.folder().string(), "there is no config.json beside the weights",
                     "give the model's folder, with its config.json and tokenizer");
  }
  SLUICE_ASSIGN(const Levels levels, levels_of(*root));
  TextConfig out;
  SLUICE_ASSIGN(const RotaryParameters rotary, read_text_keys(levels, out));
  SLUICE_ASSIGN(out.tied, read_tied(checkpoint, *root, *levels.text));
  SLUICE_TRY(read_stop_ids(checkpoint, *root, *levels.text, out));
  SLUICE_TRY(finish_config(rotary, kFile, out));
  return out;
}

Result<TextConfig> config_of_new_model(const Json& root) {
  SLUICE_ASSIGN(const Levels levels, levels_of(root));
  TextConfig out;
  SLUICE_ASSIGN(const RotaryParameters rotary, read_text_keys(levels, out));
  SLUICE_ASSIGN(const std::optional<bool> tied, boolean(*levels.text, "tie_word_embeddings"));
  if (!tied) return bad_input(kFile, "tie_word_embeddings is missing");
  out.tied = *tied;
  SLUICE_TRY(add_token_ids(*levels.text, "eos_token_id", kFile, out.stop_ids));
  SLUICE_TRY(finish_config(rotary, kFile, out));
  return out;
}

}  // namespace sluice::model
