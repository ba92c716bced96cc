#include "tools/distill/train_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "base/file.h"

namespace sluice::distill {
namespace {

constexpr uint64_t kMaxConfigBytes = uint64_t{1} << 20;

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t above = row[j + 1];
      row[j + 1] = std::min({above + 1, row[j] + 1, diagonal + (a[i] == b[j] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

Error wrong(std::string_view key, const Json& value, std::string_view wanted) {
  return bad_input(std::string(key), fmt::format("is {}, {} is expected", value.dump(), wanted));
}

// A key of the file: how its value is checked and kept.
struct Key {
  std::string_view name;
  std::function<Status(std::string_view name, const Json& value)> set;
};

Key integer(std::string_view name, int64_t& out, int64_t least, int64_t most) {
  return {name, [&out, least, most](std::string_view key, const Json& value) -> Status {
            const auto number = value.as_int64();
            if (!number || *number < least || *number > most)
              return wrong(key, value, fmt::format("an integer from {} to {}", least, most));
            out = *number;
            return {};
          }};
}

Key real(std::string_view name, double& out, double least, double most) {
  return {name, [&out, least, most](std::string_view key, const Json& value) -> Status {
            const auto number = value.as_double();
            if (!number || !(*number >= least) || *number > most)
              return wrong(key, value, fmt::format("a number from {} to {}", least, most));
            out = *number;
            return {};
          }};
}

Key text(std::string_view name, std::string& out) {
  return {name, [&out](std::string_view key, const Json& value) -> Status {
            if (!value.is_string() || value.string().empty()) return wrong(key, value, "a path");
            out = value.string();
            return {};
          }};
}

Key precision(std::string_view name, Precision& out) {
  return {name, [&out](std::string_view key, const Json& value) -> Status {
            if (value == Json("bf16")) {
              out = Precision::kBf16;
            } else if (value == Json("fp32")) {
              out = Precision::kFp32;
            } else {
              return wrong(key, value, "\"bf16\" or \"fp32\"");
            }
            return {};
          }};
}

Key object(std::string_view name, Json& out) {
  return {name, [&out](std::string_view key, const Json& value) -> Status {
            if (!value.is_object()) return wrong(key, value, "an object");
            out = value;
            return {};
          }};
}

Key file_list(std::string_view name, std::vector<std::string>& out) {
  return {name, [&out](std::string_view key, const Json& value) -> Status {
            if (!value.is_array()) return wrong(key, value, "an array of files");
            for (const Json& file : value.items()) {
              if (!file.is_string()) return wrong(key, file, "the name of a file");
              out.push_back(file.string());
            }
            return {};
          }};
}

Key weights(std::string_view name, std::vector<double>& out) {
  return {name, [&out](std::string_view key, const Json& value) -> Status {
            if (!value.is_array() || value.items().size() > 8)
              return wrong(key, value, "an array of at most 8 numbers");
            for (const Json& item : value.items()) {
              const auto number = item.as_double();
              if (!number || !(*number >= 0)) return wrong(key, item, "a number, 0 or more");
              out.push_back(*number);
            }
            return {};
          }};
}

std::vector<Key> keys_of(TrainConfig& config, int64_t& seed) {
  return {object("model", config.model),
          text("init_from", config.init_from),
          text("tokenizer", config.tokenizer),
          text("output", config.output),
          file_list("data", config.data),
          integer("steps", config.steps, 1, 100'000'000),
          integer("warmup_steps", config.warmup_steps, 0, 100'000'000),
          integer("batch_tokens", config.batch_tokens, 16, int64_t{1} << 24),
          integer("shards", config.shards, 1, 256),
          integer("max_tokens", config.max_tokens, 8, int64_t{1} << 20),
          real("learning_rate", config.learning_rate, 0, 1),
          real("final_learning_rate", config.final_learning_rate, 0, 1),
          real("weight_decay", config.weight_decay, 0, 10),
          real("beta1", config.beta1, 0, 0.9999999),
          real("beta2", config.beta2, 0, 0.9999999),
          real("epsilon", config.epsilon, 1e-30, 1),
          real("clip", config.clip, 0, 1e9),
          weights("draft_weights", config.draft_weights),
          integer("draft_from_step", config.draft_from_step, 0, 100'000'000),
          integer("draft_every", config.draft_every, 1, 1'000'000),
          integer("seed", seed, 0, INT64_MAX),
          real("init_deviation", config.init_deviation, 0, 10),
          precision("precision", config.precision),
          precision("export", config.export_format),
          integer("log_every", config.log_every, 1, 1'000'000),
          integer("checkpoint_every", config.checkpoint_every, 1, 100'000'000),
          object("generation", config.generation)};
}

Error unknown_key(std::string_view where, std::string_view name,
                  const std::vector<std::string_view>& known) {
  const auto nearest =
      std::min_element(known.begin(), known.end(), [&](std::string_view a, std::string_view b) {
        return edit_distance(name, a) < edit_distance(name, b);
      });
  return bad_input(std::string(where), fmt::format("has an unknown key \"{}\"", name),
                   fmt::format("The nearest key is \"{}\"; docs/training.md lists all", *nearest));
}

Status check_together(const TrainConfig& config) {
  if (config.tokenizer.empty()) return bad_input("tokenizer", "is missing");
  if (config.output.empty()) return bad_input("output", "is missing");
  if (config.data.empty()) return bad_input("data", "is missing or empty");
  if (config.steps == 0) return bad_input("steps", "is missing");
  if (config.model.is_null() == config.init_from.empty())
    return bad_input("model", "either model or init_from must be given, and not both");
  if (config.draft_from_step > 0 && config.draft_from_step >= config.steps) {
    return bad_input(
        "draft_from_step",
        fmt::format("is {}, the run has {} steps", config.draft_from_step, config.steps),
        "Lower it, or leave draft_weights out to train no draft head");
  }
  if (config.max_tokens > config.shard_tokens()) {
    return bad_input("max_tokens",
                     fmt::format("is {}, more than batch_tokens / shards = {}", config.max_tokens,
                                 config.shard_tokens()),
                     "Lower it, raise batch_tokens, or take fewer shards");
  }
  return {};
}

}  // namespace

Result<TrainConfig> read_train_config(const std::filesystem::path& file) {
  SLUICE_ASSIGN(const std::string source, read_file(file, kMaxConfigBytes));
  const auto within = [&](Error error) {
    error.what = file.string() + (error.what.empty() ? "" : ": ") + error.what;
    return error;
  };
  Result<Json> json = parse_json(source, {.depth = 16, .duplicates = DuplicateKeys::kReject});
  if (!json.ok()) return within(json.error());
  if (!json->is_object()) return bad_input(file.string(), "is not a JSON object");
  TrainConfig config;
  int64_t seed = 0;
  const std::vector<Key> keys = keys_of(config, seed);
  for (const auto& [name, value] : json->members()) {
    const auto key = std::find_if(keys.begin(), keys.end(), [&, &wanted = name](const Key& each) {
      return each.name == wanted;
    });
    if (key == keys.end()) {
      std::vector<std::string_view> known;
      for (const Key& each : keys) known.push_back(each.name);
      return unknown_key(file.string(), name, known);
    }
    if (Status status = key->set(name, value); !status.ok()) return within(status.error());
  }
  config.seed = static_cast<uint64_t>(seed);
  if (Status status = check_together(config); !status.ok()) return within(status.error());
  const std::filesystem::path folder = file.parent_path();
  const auto resolve = [&](std::string& path) {
    if (!path.empty()) path = (folder / path).lexically_normal().string();
  };
  resolve(config.init_from);
  resolve(config.tokenizer);
  resolve(config.output);
  for (std::string& path : config.data) resolve(path);
  return config;
}

Result<Json> published_config(const Json& model, int64_t tokenizer_size) {
  // Names and order of the published text config; null marks what has no safe default.
  Json config = Json::object();
  config.set("architectures", Json(Json::Array{"Qwen3_5ForCausalLM"}));
  config.set("model_type", "qwen3_5_text");
  config.set("attention_bias", false);
  config.set("attention_dropout", 0.0);
  config.set("attn_output_gate", true);
  config.set("dtype", "bfloat16");
  for (const char* key :
       {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "head_dim", "linear_num_key_heads", "linear_num_value_heads",
        "linear_key_head_dim", "linear_value_head_dim"}) {
    config.set(key, nullptr);
  }
  config.set("full_attention_interval", 4);
  config.set("hidden_act", "silu");
  config.set("linear_conv_kernel_dim", 4);
  config.set("mamba_ssm_dtype", "float32");
  config.set("max_position_embeddings", 4096);
  config.set("mtp_num_hidden_layers", 1);
  config.set("mtp_use_dedicated_embeddings", false);
  config.set("output_gate_type", "swish");
  config.set("rms_norm_eps", 1e-6);
  config.set("rope_theta", 10'000'000);
  config.set("partial_rotary_factor", 0.25);
  config.set("tie_word_embeddings", true);
  config.set("use_cache", true);
  config.set("vocab_size", (tokenizer_size + 63) / 64 * 64);

  std::vector<std::string_view> known;
  for (const auto& [key, value] : config.members()) known.push_back(key);
  known.push_back("layer_types");
  for (const auto& [key, value] : model.members()) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      return unknown_key("model", key, known);
  }
  for (const auto& [key, value] : model.members()) config.set(key, value);
  for (const auto& [key, value] : config.members()) {
    if (value.is_null()) return bad_input("model", fmt::format("has no {}", key));
  }
  const auto layers = config.find("num_hidden_layers")->as_int64();
  const auto interval = config.find("full_attention_interval")->as_int64();
  const auto dim = config.find("head_dim")->as_int64();
  const auto share = config.find("partial_rotary_factor")->as_double();
  if (!layers || *layers < 1 || *layers > 4096)
    return bad_input("num_hidden_layers", "is not an integer from 1 to 4096");
  if (!interval || *interval < 1)
    return bad_input("full_attention_interval", "is not a positive integer");
  if (!dim || *dim < 2 || *dim > 65536 || !share || !(*share > 0) || *share > 1)
    return bad_input("head_dim", "with partial_rotary_factor gives no rotary width");
  if (config.find("layer_types") == nullptr) {
    Json::Array types;
    for (int64_t i = 0; i < *layers; ++i)
      types.emplace_back((i + 1) % *interval == 0 ? "full_attention" : "linear_attention");
    config.set("layer_types", Json(std::move(types)));
  }
  // Text has one position, so the sections hardly matter, but they must be as even as the published
  // [11, 11, 10]: llama.cpp turns a pair that the interleaving does not reach by no position at
  // all.
  const auto pairs = static_cast<int64_t>(static_cast<double>(*dim) * *share) / 2;
  Json rope = Json::object();
  rope.set("mrope_interleaved", true);
  rope.set("mrope_section", Json(Json::Array{(pairs + 2) / 3, (pairs + 1) / 3, pairs / 3}));
  rope.set("partial_rotary_factor", *config.find("partial_rotary_factor"));
  rope.set("rope_theta", *config.find("rope_theta"));
  rope.set("rope_type", "default");
  config.set("rope_parameters", std::move(rope));
  std::erase_if(config.members(), [](const Json::Member& member) {
    return member.first == "rope_theta" || member.first == "partial_rotary_factor";
  });
  return config;
}

}  // namespace sluice::distill
