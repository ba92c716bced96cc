#include "tools/convert/source.h"

#include <algorithm>
#include <cmath>

#include "codec/codec.h"
#include "codec/number_formats.h"
#include "model/tensor_names.h"
#include "tools/convert/head_order.h"

namespace sluice::convert {
namespace {

using model::Part;
using model::Transform;

// The name of the weight itself, whatever its codes are stored as.
std::string canonical_of(const model::BoundWeight& weight, bool gguf, int64_t layers) {
  std::string name =
      gguf ? model::canonical_gguf_name(weight.name, layers) : model::canonical_name(weight.name);
  constexpr std::string_view kPacked = ".weight_packed";
  if (name.ends_with(kPacked))
    name.resize(name.size() - (kPacked.size() - std::string_view(".weight").size()));
  return name;
}

bool is_decay(std::string_view canonical) { return canonical.ends_with("linear_attn.A_log"); }

// The norms whose published weight is an offset from one: every vector called weight but that of
// the linear attention and the convolution.
bool is_centred_norm(const SourceWeight& weight) {
  return weight.bound->vector && weight.canonical.ends_with(".weight") &&
         !weight.canonical.ends_with("linear_attn.norm.weight") &&
         !weight.canonical.ends_with("conv1d.weight");
}

}  // namespace

const SourceWeight* Source::find(std::string_view canonical) const {
  const auto it = std::find_if(weights.begin(), weights.end(), [&](const SourceWeight& weight) {
    return weight.canonical == canonical;
  });
  return it == weights.end() ? nullptr : &*it;
}

Result<Source> open_source(const std::filesystem::path& path, DamagedDraft damaged) {
  Source source;
  source.path = path;
  SLUICE_ASSIGN(checkpoint::Checkpoint opened, checkpoint::Checkpoint::open(path));
  source.checkpoint = std::make_unique<checkpoint::Checkpoint>(std::move(opened));
  SLUICE_ASSIGN(source.binding, model::bind(*source.checkpoint));
  const model::Binding& binding = source.binding;
  SLUICE_TRY(model::require_runnable(binding, path.string()));
  if (binding.mtp_present && !binding.mtp_usable && damaged == DamagedDraft::kRefuse) {
    for (const model::Problem& problem : binding.problems) {
      if (problem.severity == model::Problem::Severity::kWarning)
        return bad_input(path.string(), problem.tensor + ": " + problem.message,
                         "Strip the draft head, or graft another one first");
    }
  }
  for (const model::BoundWeight& weight : binding.weights)
    source.weights.push_back({&weight, canonical_of(weight, source.gguf(), binding.config.layers)});
  for (const model::BoundTensor& tensor : binding.tensors) {
    if (tensor.part == Part::kVision) source.vision.push_back(tensor.stored);
  }
  return source;
}

RowReader::RowReader(const Source& source, const SourceWeight& weight, Convention target)
    : weight_(&weight), matrix_(&weight.bound->matrix) {
  const model::TextConfig& config = source.binding.config;
  if (const auto place = head_place(weight.canonical, config)) {
    auto moved = moved_indices(
        *place, place->rows ? rows() : columns(), config,
        target == Convention::kGguf ? ops::HeadOrder::kTiled : ops::HeadOrder::kGrouped);
    (place->rows ? row_map_ : column_map_) = std::move(moved);
  }
  // What load() would do to the stored values says which convention they are in.
  const Transform pending = weight.bound->transform;
  if (target == Convention::kGguf) {
    if (pending == Transform::kAddOne) change_ = Change::kAddOne;
    if (pending == Transform::kMinusExp) change_ = Change::kMinusExp;
  } else if (pending == Transform::kNone) {
    if (is_centred_norm(weight)) change_ = Change::kSubtractOne;
    if (is_decay(weight.canonical)) change_ = Change::kLogMinus;
  }
}

void RowReader::read(int64_t first, int64_t count, float* out) const {
  const auto width = static_cast<size_t>(columns());
  if (row_map_.empty()) {
    codec::decode_rows(*matrix_, first, count, out);
  } else {
    for (int64_t row = 0; row < count; ++row)
      codec::decode_rows(*matrix_, row_map_[static_cast<size_t>(first + row)], 1,
                         out + static_cast<size_t>(row) * width);
  }
  if (!column_map_.empty()) {
    std::vector<float> stored(width);
    for (int64_t row = 0; row < count; ++row) {
      float* values = out + static_cast<size_t>(row) * width;
      std::copy_n(values, width, stored.begin());
      for (size_t column = 0; column < width; ++column)
        values[column] = stored[static_cast<size_t>(column_map_[column])];
    }
  }
  if (change_ == Change::kNone) return;
  for (float& value : std::span(out, static_cast<size_t>(count) * width)) {
    switch (change_) {
      case Change::kAddOne:
        value += 1.0f;
        break;
      case Change::kSubtractOne:
        value -= 1.0f;
        break;
      case Change::kMinusExp:
        value = -std::exp(value);
        break;
      case Change::kLogMinus:
        value = std::log(-value);
        break;
      case Change::kNone:
        break;
    }
  }
}

DType vector_type(const Source& source, const SourceWeight& weight, std::span<const float> values) {
  const EncodedMatrix& stored = weight.bound->matrix;
  const bool same_convention = !source.gguf();
  if (same_convention && (stored.codes.dtype == DType::kBF16 || stored.codes.dtype == DType::kF32))
    return stored.codes.dtype;
  // The logarithm of a rounded exponential is off by the exponential's rounding and its own.
  const float slack = is_decay(weight.canonical) ? 2e-7f : 0.0f;
  const auto kept = [&](float value) {
    const float difference = std::fabs(codec::round_to_bf16(value) - value);
    return difference <= slack * (1 + std::fabs(value));
  };
  return std::all_of(values.begin(), values.end(), kept) ? DType::kBF16 : DType::kF32;
}

}  // namespace sluice::convert
