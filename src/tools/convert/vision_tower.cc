#include "tools/convert/vision_tower.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "checkpoint/rules.h"
#include "codec/codec.h"
#include "model/tensor_names.h"
#include "tools/convert/tower_keys.h"

namespace sluice::convert {
namespace {

namespace fs = std::filesystem;
using checkpoint::Checkpoint;
using checkpoint::StoredTensor;
using checkpoint::tensor_violation;

constexpr const char* kLeaveOut =
    "Get the checkpoint again, or leave the tower out with --strip-vision";
constexpr const char* kOtherFile =
    "Get the file again, move it out of the model's folder, or leave the tower out "
    "(--strip-vision; strip: --vision)";

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string out;
  for (const int64_t extent : shape) out += fmt::format("{}{}", out.empty() ? "" : ", ", extent);
  return "[" + out + "]";
}

bool plain_float(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16;
}

// What is wrong with a tensor that is to be part of the tower; empty if nothing is.
std::string objection(const StoredTensor* stored, const std::vector<int64_t>& shape,
                      bool any_block) {
  if (stored == nullptr) return "the vision tower lacks it";
  if (stored->shape != shape) {
    return fmt::format("its shape is {}, the tower's sizes make it {}", shape_text(stored->shape),
                       shape_text(shape));
  }
  const bool readable =
      any_block ? self_contained_format(stored->dtype).has_value() : plain_float(stored->dtype);
  if (readable) return {};
  return fmt::format("is stored as {}, which is not read for a vision tower",
                     dtype_name(stored->dtype));
}

Result<VisionTower> published_tower(const Source& source) {
  VisionTower tower;
  SLUICE_ASSIGN(tower.geometry, geometry_of_config(source));
  tower.tensors = expected_tower(tower.geometry);
  std::map<std::string, const StoredTensor*> by_name;
  for (const StoredTensor* stored : source.vision)
    by_name[model::canonical_name(stored->name)] = stored;
  const auto refuse = [&](const std::string& tensor, const std::string& why) {
    return bad_input(fmt::format("{}, tensor {}", source.path.string(), tensor), why, kLeaveOut);
  };
  for (TowerTensor& tensor : tower.tensors) {
    const auto found = by_name.find(tensor.canonical);
    const StoredTensor* stored = found == by_name.end() ? nullptr : found->second;
    const std::string why = objection(stored, tensor.shape, false);
    if (!why.empty()) return refuse(tensor.canonical, why);
    tensor.stored.push_back(stored);
    by_name.erase(found);
  }
  if (!by_name.empty()) return refuse(by_name.begin()->second->name, "a GGUF has no place for it");
  return tower;
}

// Whether the keys name a tower of this family for a text model of this width: a folder may hold
// those of several models.
bool belongs(const Checkpoint& file, int64_t hidden) {
  const auto projector = projector_of(*file.gguf());
  const auto output = file.gguf()->unsigned_integer("clip.vision.projection_dim");
  return projector == kProjector && output.ok() && *output == static_cast<uint64_t>(hidden);
}

// What one would rather read BF16 from: lossless first, then smaller.
int rank_of(const VisionTower& tower) {
  const auto merger =
      std::find_if(tower.tensors.begin(), tower.tensors.end(), [](const TowerTensor& tensor) {
        return tensor.canonical == "visual.merger.linear_fc1.weight";
      });
  switch (merger->stored.front()->dtype) {
    case DType::kBF16:
      return 0;
    case DType::kF32:
      return 1;
    case DType::kF16:
      return 2;
    default:
      return 3;
  }
}

EncodedMatrix matrix_of(const StoredTensor& stored) {
  EncodedMatrix matrix;
  const auto format = self_contained_format(stored.dtype);
  SLUICE_CHECK(format.has_value(), "{} is {}", stored.name, dtype_name(stored.dtype));
  matrix.format = *format;
  matrix.rows = stored.shape.size() > 1 ? stored.shape.front() : 1;
  matrix.columns = stored.elements() / matrix.rows;
  matrix.codes = {stored.bytes, stored.dtype, matrix.rows, matrix.columns};
  return matrix;
}

}  // namespace

int64_t VisionTower::parameters() const {
  int64_t sum = 0;
  for (const TowerTensor& tensor : tensors) {
    for (const StoredTensor* stored : tensor.stored) sum += stored->elements();
  }
  return sum;
}

Result<std::shared_ptr<const VisionTower>> tower_of(const Source& source) {
  if (source.gguf()) return source.mmproj;
  if (source.vision.empty()) return std::shared_ptr<const VisionTower>();
  SLUICE_ASSIGN(VisionTower tower, published_tower(source));
  return std::shared_ptr<const VisionTower>(std::make_shared<VisionTower>(std::move(tower)));
}

Result<VisionTower> read_mmproj(const fs::path& file, int64_t hidden) {
  VisionTower tower;
  SLUICE_ASSIGN(Checkpoint opened, Checkpoint::open(file, checkpoint::Purpose::kAnyFile));
  tower.file = std::make_unique<Checkpoint>(std::move(opened));
  const std::string name = file.string();
  const size_t count = tower.file->tensors().size();
  SLUICE_ASSIGN(tower.geometry, geometry_of_keys(*tower.file->gguf(), name, count));
  if (tower.geometry.output != hidden) {
    return checkpoint::file_violation(
        "GG-15", name,
        fmt::format("this vision tower is for a text model of width {}, this one's is {}",
                    tower.geometry.output, hidden),
        kOtherFile);
  }
  tower.tensors = expected_tower(tower.geometry);
  std::set<std::string_view> known;
  for (TowerTensor& tensor : tower.tensors) {
    for (const std::string& part : tensor.gguf_names) {
      const StoredTensor* stored = tower.file->find(part);
      const std::string why = objection(stored, tensor.gguf_shape, true);
      if (!why.empty()) return tensor_violation("GG-16", name, part, why, kOtherFile);
      tensor.stored.push_back(stored);
      known.insert(part);
    }
  }
  for (const StoredTensor& stored : tower.file->tensors()) {
    if (!known.contains(stored.name))
      return tensor_violation("GG-16", name, stored.name, "is no tensor of this vision tower",
                              kOtherFile);
  }
  return tower;
}

Result<std::shared_ptr<const VisionTower>> tower_beside(const Checkpoint& text, int64_t hidden) {
  std::optional<VisionTower> best;
  std::optional<fs::path> equal;  // as good as the best
  const std::string model = text.files().front().filename().string();
  const auto& beside = text.vision_beside();
  if (text.gguf() == nullptr || beside.empty()) return std::shared_ptr<const VisionTower>();
  for (const fs::path& file : beside) {
    if (beside.size() > 1) {
      SLUICE_ASSIGN(const Checkpoint opened, Checkpoint::open(file, checkpoint::Purpose::kAnyFile));
      if (!belongs(opened, hidden)) continue;
    }
    SLUICE_ASSIGN(VisionTower tower, read_mmproj(file, hidden));
    if (best && rank_of(*best) == rank_of(tower)) equal = file;
    if (best && rank_of(*best) <= rank_of(tower)) continue;
    best = std::move(tower);
    equal.reset();
  }
  if (!best) {
    return bad_input(
        beside.front().string(),
        fmt::format("none of the {} vision towers beside {} is for it", beside.size(), model),
        kOtherFile);
  }
  if (equal) {
    return bad_input(
        equal->string(),
        fmt::format("is as good a vision tower for {} as {}", model,
                    best->file->files().front().filename().string()),
        "Keep one of the two in the folder, or leave the tower out with --strip-vision");
  }
  return std::shared_ptr<const VisionTower>(std::make_shared<VisionTower>(std::move(*best)));
}

Status open_tower_beside(Source& source) {
  SLUICE_ASSIGN(source.mmproj, tower_beside(*source.checkpoint, source.binding.config.hidden));
  return {};
}

TowerReader::TowerReader(const VisionTower& tower, const TowerTensor& tensor, Convention target,
                         size_t frame)
    : tensor_(&tensor), frame_(frame) {
  const bool to_gguf = target == Convention::kGguf;
  SLUICE_CHECK(frame < tensor.gguf_names.size(), "frame {} of {}", frame, tensor.canonical);
  for (const StoredTensor* stored : tensor.stored) parts_.push_back(matrix_of(*stored));
  const bool framed = tensor.gguf_names.size() > 1;
  cuts_ = framed && to_gguf && !tower.gguf();
  joins_ = framed && !to_gguf && tower.gguf();
  if (framed && to_gguf && tower.gguf()) parts_ = {parts_[frame]};
  rows_ = parts_[0].rows;
  columns_ = cuts_ ? parts_[0].columns / kTowerFrames : parts_[0].columns;
  if (joins_) columns_ *= kTowerFrames;
}

void TowerReader::read(int64_t first, int64_t count, float* out) const {
  if (!cuts_ && !joins_) {
    codec::decode_rows(parts_[0], first, count, out);
    return;
  }
  // A published row is channel, frame, pixel; a GGUF's is channel, pixel.
  const auto part_width = static_cast<size_t>(parts_[0].columns);
  const int64_t pixels = (cuts_ ? columns_ : parts_[0].columns) / kTowerChannels;
  std::vector<float> stored(part_width);
  for (int64_t row = first; row < first + count; ++row, out += columns_) {
    for (size_t part = 0; part < parts_.size(); ++part) {
      codec::decode_rows(parts_[part], row, 1, stored.data());
      const auto frame = static_cast<int64_t>(joins_ ? part : frame_);
      for (int64_t channel = 0; channel < kTowerChannels; ++channel) {
        const int64_t framed = (channel * kTowerFrames + frame) * pixels, plain = channel * pixels;
        std::copy_n(stored.data() + (cuts_ ? framed : plain), pixels,
                    out + (cuts_ ? plain : framed));
      }
    }
  }
}

}  // namespace sluice::convert
