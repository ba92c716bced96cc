#include "tools/convert/tower_geometry.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>
#include <variant>

#include "checkpoint/rules.h"

namespace sluice::convert {
namespace {

using checkpoint::file_violation;
using checkpoint::GgufMetadata;

constexpr uint64_t kBlockTensors = 12;
// Beyond these no tower is meant; below them no product of sizes overflows.
constexpr int64_t kMostBlocks = 1000, kMostMerged = 16, kMostSize = int64_t{1} << 20;
constexpr const char* kNotATower =
    "Get the file again, move it out of the model's folder, or leave the tower out "
    "(--strip-vision; strip: --vision)";

// Nothing, or a number for each channel.
bool of_channels(const checkpoint::GgufValue* value) {
  if (value == nullptr) return true;
  const auto* array = std::get_if<checkpoint::GgufArray>(value);
  const auto* list = array == nullptr ? nullptr : std::get_if<std::vector<double>>(array);
  return list != nullptr && list->size() == static_cast<size_t>(kTowerChannels) &&
         std::all_of(list->begin(), list->end(), [](double one) { return std::isfinite(one); });
}

}  // namespace

int64_t TowerGeometry::position_edge() const {
  return static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(positions))));
}

std::vector<TowerTensor> expected_tower(const TowerGeometry& geometry) {
  std::vector<TowerTensor> out;
  const auto add = [&](const std::string& published, const std::string& gguf,
                       std::vector<int64_t> shape) {
    TowerTensor tensor;
    tensor.canonical = "visual." + published;
    tensor.shape = std::move(shape);
    tensor.gguf_names = {gguf};
    tensor.gguf_shape = tensor.shape;
    out.push_back(std::move(tensor));
  };
  const auto linear = [&](const std::string& published, const std::string& gguf, int64_t rows,
                          int64_t columns) {
    add(published + ".weight", gguf + ".weight", {rows, columns});
    add(published + ".bias", gguf + ".bias", {rows});
  };
  const auto norm = [&](const std::string& published, const std::string& gguf, int64_t width) {
    add(published + ".weight", gguf + ".weight", {width});
    add(published + ".bias", gguf + ".bias", {width});
  };
  const int64_t width = geometry.hidden, merged = width * geometry.merge * geometry.merge;
  for (int64_t i = 0; i < geometry.depth; ++i) {
    const std::string from = fmt::format("blocks.{}.", i), to = fmt::format("v.blk.{}.", i);
    linear(from + "attn.qkv", to + "attn_qkv", 3 * width, width);
    linear(from + "attn.proj", to + "attn_out", width, width);
    linear(from + "mlp.linear_fc1", to + "ffn_up", geometry.intermediate, width);
    linear(from + "mlp.linear_fc2", to + "ffn_down", width, geometry.intermediate);
    norm(from + "norm1", to + "ln1", width);
    norm(from + "norm2", to + "ln2", width);
  }
  norm("merger.norm", "v.post_ln", width);
  linear("merger.linear_fc1", "mm.0", merged, merged);
  linear("merger.linear_fc2", "mm.2", geometry.output, merged);
  add("pos_embed.weight", "v.position_embd.weight", {geometry.positions, width});
  add("patch_embed.proj.bias", "v.patch_embd.bias", {width});
  add("patch_embed.proj.weight", "v.patch_embd.weight",
      {width, kTowerChannels, kTowerFrames, geometry.patch, geometry.patch});
  out.back().gguf_names.emplace_back("v.patch_embd.weight.1");
  out.back().gguf_shape = {width, kTowerChannels, geometry.patch, geometry.patch};
  std::sort(out.begin(), out.end(),
            [](const TowerTensor& a, const TowerTensor& b) { return a.canonical < b.canonical; });
  return out;
}

std::string size_objection(const TowerGeometry& geometry) {
  const std::tuple<const char*, int64_t, int64_t> sizes[] = {
      {"blocks", geometry.depth, kMostBlocks},
      {"width", geometry.hidden, kMostSize},
      {"width of the block's MLP", geometry.intermediate, kMostSize},
      {"heads", geometry.heads, kMostSize},
      {"width of its output", geometry.output, kMostSize},
      {"edge of a patch", geometry.patch, kMostSize},
      {"edge of merged patches", geometry.merge, kMostMerged},
      {"rows of its position table", geometry.positions, kMostSize}};
  for (const auto& [what, size, most] : sizes) {
    if (size < 1 || size > most)
      return fmt::format("the vision tower's {}: {} is not within 1 to {}", what, size, most);
  }
  if (geometry.hidden % geometry.heads != 0) {
    return fmt::format("the vision tower's width {} is not a multiple of its {} heads",
                       geometry.hidden, geometry.heads);
  }
  const int64_t edge = geometry.position_edge();
  if (edge * edge != geometry.positions) {
    return fmt::format("the vision tower's {} positions are no square", geometry.positions);
  }
  return {};
}

std::string projector_of(const GgufMetadata& keys) {
  for (const char* key : {"clip.projector_type", "clip.vision.projector_type"}) {
    const auto value = keys.string(key);
    if (value.ok() && *value) return **value;
  }
  return {};
}

Result<TowerGeometry> geometry_of_keys(const GgufMetadata& keys, const std::string& file,
                                       size_t tensors) {
  const auto refuse = [&](std::string why) {
    return file_violation("GG-15", file, std::move(why), kNotATower);
  };
  SLUICE_ASSIGN(const auto architecture, keys.string("general.architecture"));
  if (architecture.value_or("") != "clip") {
    return refuse(fmt::format("its architecture is \"{}\", a vision tower's is \"clip\"",
                              architecture.value_or("")));
  }
  const std::string projector = projector_of(keys);
  if (projector != kProjector) {
    return refuse(
        fmt::format("its projector is \"{}\", this family's is \"{}\"", projector, kProjector));
  }
  TowerGeometry geometry;
  int64_t image = 0;
  for (const auto& [key, size] : {std::pair{"clip.vision.block_count", &geometry.depth},
                                  {"clip.vision.embedding_length", &geometry.hidden},
                                  {"clip.vision.feed_forward_length", &geometry.intermediate},
                                  {"clip.vision.attention.head_count", &geometry.heads},
                                  {"clip.vision.projection_dim", &geometry.output},
                                  {"clip.vision.patch_size", &geometry.patch},
                                  {"clip.vision.spatial_merge_size", &geometry.merge},
                                  {"clip.vision.image_size", &image}}) {
    SLUICE_ASSIGN(const auto value, keys.unsigned_integer(key));
    if (!value && size == &geometry.merge) continue;  // 2 where it is not said
    if (!value) return refuse(fmt::format("key {} is missing", key));
    *size = static_cast<int64_t>(std::min<uint64_t>(*value, INT64_MAX));
  }
  if (image < 1 || image > kMostSize || geometry.patch < 1)
    return refuse(fmt::format("images of {} pixels in patches of {}", image, geometry.patch));
  geometry.positions = (image / geometry.patch) * (image / geometry.patch);
  if (std::string why = size_objection(geometry); !why.empty()) return refuse(std::move(why));
  if (static_cast<uint64_t>(geometry.depth) * kBlockTensors > tensors) {
    return refuse(fmt::format("clip.vision.block_count is {}, the file holds {} tensors",
                              geometry.depth, tensors));
  }
  for (const char* key : {"clip.vision.image_mean", "clip.vision.image_std"}) {
    if (!of_channels(keys.find(key)))
      return refuse(fmt::format("key {} is not a list of three numbers", key));
  }
  SLUICE_ASSIGN(const auto deep, keys.integers("clip.vision.is_deepstack_layers"));
  if (deep && std::find(deep->begin(), deep->end(), 1) != deep->end())
    return refuse("it has DeepStack layers, which this family has not");
  return geometry;
}

}  // namespace sluice::convert
