#include "tools/convert/tower_keys.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/file.h"
#include "tools/convert/gguf_metadata.h"

namespace sluice::convert {
namespace {

using checkpoint::GgufArray;
using checkpoint::GgufMetadata;
using checkpoint::GgufType;

constexpr uint64_t kQuantizationVersion = 2;  // of ggml's block layouts
constexpr double kPublishedMean = 0.5;        // of every channel, and the deviation too

constexpr const char* kNoTower =
    "Get the checkpoint again, or leave the tower out with --strip-vision";

const Json* member(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

// Of the processor files, the later of which wins; what published files say where there are none.
Result<std::vector<double>> pixel_statistics(const Source& source, std::string_view key) {
  std::vector<double> out(3, kPublishedMean);
  for (const char* name : {"preprocessor_config.json", "processor_config.json"}) {
    SLUICE_ASSIGN(const auto root, source.checkpoint->side_json(name));
    if (!root) continue;
    const Json* inner = member(*root, "image_processor");
    const Json* values = inner == nullptr ? nullptr : member(*inner, key);
    if (values == nullptr) values = member(*root, key);
    if (values == nullptr) continue;
    std::vector<double> read;
    if (values->is_array()) {
      for (const Json& value : values->items()) read.push_back(value.as_double().value_or(NAN));
    }
    const bool sane = read.size() == 3 && std::isfinite(read[0] + read[1] + read[2]);
    if (!sane)
      return bad_input(name, fmt::format("{} is not a list of three numbers", key), kNoTower);
    out = std::move(read);
  }
  for (double& value : out) value = static_cast<double>(static_cast<float>(value));
  return out;
}

// Of the tower's keys, which geometry_of_keys() has seen; empty if they do not say.
std::vector<double> reals(const GgufMetadata& keys, std::string_view key) {
  const checkpoint::GgufValue* value = keys.find(key);
  const auto* array = value == nullptr ? nullptr : std::get_if<GgufArray>(value);
  const auto* list = array == nullptr ? nullptr : std::get_if<std::vector<double>>(array);
  return list == nullptr ? std::vector<double>() : *list;
}

Json numbers(const std::vector<double>& values) {
  Json out = Json::array();
  for (const double value : values)
    out.push_back(Json::number_from_spelling(fmt::format("{:.7g}", value)));
  return out;
}

// The id of a token by its text.
std::optional<int64_t> token_id(const std::vector<std::string>& tokens, std::string_view text) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] == text) return static_cast<int64_t>(i);
  }
  return std::nullopt;
}

Json vision_config(const TowerGeometry& geometry) {
  Json out = Json::object();
  out.set("deepstack_visual_indexes", Json::array());
  out.set("depth", geometry.depth);
  out.set("hidden_act", "gelu_pytorch_tanh");
  out.set("hidden_size", geometry.hidden);
  out.set("in_channels", 3);
  out.set("initializer_range", Json::number_from_spelling("0.02"));
  out.set("intermediate_size", geometry.intermediate);
  out.set("model_type", "qwen3_5");
  out.set("num_heads", geometry.heads);
  out.set("num_position_embeddings", geometry.positions);
  out.set("out_hidden_size", geometry.output);
  out.set("patch_size", geometry.patch);
  out.set("spatial_merge_size", geometry.merge);
  out.set("temporal_patch_size", 2);
  return out;
}

}  // namespace

Result<TowerGeometry> geometry_of_config(const Source& source) {
  SLUICE_ASSIGN(const auto root, source.checkpoint->side_json("config.json"));
  const Json* vision = root ? member(*root, "vision_config") : nullptr;
  const std::string file = (source.checkpoint->folder() / "config.json").string();
  if (vision == nullptr)
    return bad_input(file, "has no vision_config for the vision tower beside it", kNoTower);
  TowerGeometry geometry;
  for (const auto& [key, size] : {std::pair{"depth", &geometry.depth},
                                  {"hidden_size", &geometry.hidden},
                                  {"intermediate_size", &geometry.intermediate},
                                  {"num_heads", &geometry.heads},
                                  {"out_hidden_size", &geometry.output},
                                  {"patch_size", &geometry.patch},
                                  {"spatial_merge_size", &geometry.merge},
                                  {"num_position_embeddings", &geometry.positions}}) {
    const Json* value = member(*vision, key);
    *size = value == nullptr ? 0 : value->as_int64().value_or(0);
  }
  for (const auto& [key, expected] : {std::pair{"temporal_patch_size", 2}, {"in_channels", 3}}) {
    const Json* value = member(*vision, key);
    if (value != nullptr && value->as_int64() != expected)
      return bad_input(file,
                       fmt::format("{} is {}, a GGUF's tower has {}", key, value->dump(), expected),
                       kNoTower);
  }
  const Json* deep = member(*vision, "deepstack_visual_indexes");
  if (deep != nullptr && deep->is_array() && !deep->items().empty())
    return bad_input(file, "the vision tower has DeepStack layers, which this family has not",
                     kNoTower);
  std::string why = size_objection(geometry);
  if (why.empty() && geometry.output != source.binding.config.hidden) {
    why = fmt::format("the vision tower ends with width {}, the text model has {}", geometry.output,
                      source.binding.config.hidden);
  }
  if (!why.empty()) return bad_input(file, why, kNoTower);
  return geometry;
}

Result<GgufMetadata> mmproj_metadata(const Source& source, const VisionTower& tower,
                                     const uint64_t* file_type) {
  GgufMetadata out;
  if (tower.gguf()) {
    const GgufMetadata& old = *tower.file->gguf();
    for (size_t i = 0; i < old.entries().size(); ++i) {
      const auto& [key, value] = old.entries()[i];
      if (key.starts_with("split.") || key == "general.alignment") continue;
      if (key == "general.file_type" && file_type != nullptr) {
        out.add(key, *file_type, GgufType::kU32);
      } else {
        out.add(key, value, old.stored_type(i));
      }
    }
    return out;
  }
  const TowerGeometry& geometry = tower.geometry;
  SLUICE_TRY(add_general_keys(source, "clip", "mmproj", tower.parameters(), out));
  const auto integer = [&](std::string_view key, int64_t value) {
    out.add(fmt::format("clip.vision.{}", key), static_cast<uint64_t>(value), GgufType::kU32);
  };
  if (file_type != nullptr) out.add("general.file_type", *file_type, GgufType::kU32);
  out.add("clip.has_vision_encoder", true);
  integer("projection_dim", geometry.output);
  integer("image_size", geometry.position_edge() * geometry.patch);
  integer("patch_size", geometry.patch);
  integer("embedding_length", geometry.hidden);
  integer("feed_forward_length", geometry.intermediate);
  integer("block_count", geometry.depth);
  integer("attention.head_count", geometry.heads);
  for (const char* key : {"image_mean", "image_std"}) {
    SLUICE_ASSIGN(std::vector<double> values, pixel_statistics(source, key));
    out.add(fmt::format("clip.vision.{}", key), GgufArray(std::move(values)), GgufType::kF32);
  }
  out.add("clip.projector_type", std::string(kProjector));
  out.add("clip.use_gelu", true);
  integer("spatial_merge_size", geometry.merge);
  // The text model's, as the converter does; the tower's own is the same and in no config.
  out.add("clip.vision.attention.layer_norm_epsilon",
          static_cast<double>(source.binding.config.rms_eps), GgufType::kF32);
  out.add("clip.vision.is_deepstack_layers",
          GgufArray(std::vector<bool>(static_cast<size_t>(geometry.depth), false)));
  out.add("general.quantization_version", kQuantizationVersion, GgufType::kU32);
  return out;
}

Result<Json> multimodal_config(const Source& source, Json text) {
  const VisionTower& tower = *source.mmproj;
  SLUICE_ASSIGN(const auto tokens, source.checkpoint->gguf()->strings("tokenizer.ggml.tokens"));
  Json out = Json::object();
  Json architectures = Json::array();
  architectures.push_back("Qwen3_5ForConditionalGeneration");
  out.set("architectures", std::move(architectures));
  out.set("model_type", "qwen3_5");
  for (const auto& [key, token] : {std::pair{"image_token_id", "<|image_pad|>"},
                                   {"video_token_id", "<|video_pad|>"},
                                   {"vision_start_token_id", "<|vision_start|>"},
                                   {"vision_end_token_id", "<|vision_end|>"}}) {
    const auto id = tokens ? token_id(*tokens, token) : std::nullopt;
    if (id) out.set(key, *id);
  }
  if (const Json* tied = text.find("tie_word_embeddings")) out.set("tie_word_embeddings", *tied);
  Json inner = Json::object();
  for (auto& [key, value] : text.members()) {
    if (key != "architectures") inner.set(key, std::move(value));
  }
  out.set("text_config", std::move(inner));
  out.set("vision_config", vision_config(tower.geometry));
  return out;
}

Status write_processor_files(const Source& source, const std::filesystem::path& folder) {
  const GgufMetadata& keys = *source.mmproj->file->gguf();
  const TowerGeometry& geometry = source.mmproj->geometry;
  struct Processor {
    const char *file, *kind, *type;
    int64_t longest, shortest;  // pixels, vision.md 2 and 3
  };
  for (const Processor& one : {Processor{"preprocessor_config.json", "image_processor_type",
                                         "Qwen2VLImageProcessorFast", 16777216, 65536},
                               Processor{"video_preprocessor_config.json", "video_processor_type",
                                         "Qwen3VLVideoProcessor", 25165824, 4096}}) {
    Json size = Json::object();
    size.set("longest_edge", one.longest);
    size.set("shortest_edge", one.shortest);
    Json out = Json::object();
    out.set("size", std::move(size));
    out.set("patch_size", geometry.patch);
    out.set("temporal_patch_size", 2);
    out.set("merge_size", geometry.merge);
    for (const char* key : {"image_mean", "image_std"}) {
      std::vector<double> values = reals(keys, fmt::format("clip.vision.{}", key));
      if (values.empty()) values.assign(3, kPublishedMean);
      out.set(key, numbers(values));
    }
    out.set("processor_class", "Qwen3VLProcessor");
    out.set(one.kind, one.type);
    const std::string text = out.dump(4) + "\n";
    SLUICE_TRY(write_file(folder / one.file, std::as_bytes(std::span(text)), false));
  }
  return {};
}

}  // namespace sluice::convert
