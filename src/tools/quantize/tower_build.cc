#include "tools/quantize/tower_build.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "checkpoint/tower_name.h"
#include "tools/convert/tower_keys.h"

namespace sluice::quantize {
namespace {

using convert::Convention;
using convert::TowerReader;
using convert::TowerTensor;
using convert::VisionTower;

struct TowerType {
  DType type;
  uint64_t file_type;  // general.file_type, formats-gguf.md 1
};
constexpr TowerType kTypes[] = {
    {DType::kBF16, 32}, {DType::kF16, 1}, {DType::kF32, 0}, {DType::kQ8_0, 7}};

// As the converter chooses: what is added and normed stays F32, the convolution is never BF16, and
// rows that are no whole blocks are F16.
DType type_of(const std::string& name, const TowerTensor& tensor, DType type) {
  if (name.starts_with("v.patch_embd.weight"))
    return type == DType::kF16 ? DType::kF16 : DType::kF32;
  if (!tensor.matrix() || name.starts_with("v.position_embd")) return DType::kF32;
  const bool blocks = tensor.gguf_shape.back() % dtype_info(type).block_elements == 0;
  return blocks ? type : DType::kF16;
}

// The type of the merger, which stands for all matrices.
DType stored_type(const VisionTower& tower) {
  const auto merger =
      std::find_if(tower.tensors.begin(), tower.tensors.end(), [](const TowerTensor& tensor) {
        return tensor.canonical == "visual.merger.linear_fc1.weight";
      });
  return merger->stored.front()->dtype;
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

}  // namespace

std::optional<DType> find_tower_type(std::string_view name) {
  for (const TowerType& one : kTypes) {
    if (lower_case(dtype_name(one.type)) == lower_case(name)) return one.type;
  }
  return std::nullopt;
}

std::string TowerPlan::file_name(const std::filesystem::path& model) const {
  return checkpoint::tower_name(model.stem().string(), type);
}

Result<std::optional<TowerPlan>> plan_tower(const convert::Source& source,
                                            std::optional<DType> type) {
  TowerPlan plan;
  SLUICE_ASSIGN(plan.tower, convert::tower_of(source));
  if (plan.tower == nullptr) return std::optional<TowerPlan>();
  const VisionTower& tower = *plan.tower;
  const bool copies = tower.gguf() && !type;
  const DType wanted = type.value_or(stored_type(tower));
  plan.type = dtype_name(wanted);
  const auto* known = std::find_if(std::begin(kTypes), std::end(kTypes),
                                   [&](const TowerType& one) { return one.type == wanted; });
  const bool renumbers = !copies && known != std::end(kTypes);
  SLUICE_ASSIGN(plan.metadata,
                mmproj_metadata(source, tower, renumbers ? &known->file_type : nullptr));
  for (const TowerTensor& tensor : tower.tensors) {
    for (size_t frame = 0; frame < tensor.gguf_names.size(); ++frame) {
      TowerFileTensor out;
      out.tensor = &tensor;
      out.frame = frame;
      out.copied = copies;
      out.spec.name = tensor.gguf_names[frame];
      out.spec.shape = tensor.gguf_shape;
      out.spec.dtype =
          copies ? tensor.stored[frame]->dtype : type_of(out.spec.name, tensor, wanted);
      uint64_t elements = 1;
      for (const int64_t extent : out.spec.shape) elements *= static_cast<uint64_t>(extent);
      plan.bytes += dtype_bytes(out.spec.dtype, elements).value_or(0);
      plan.tensors.push_back(std::move(out));
    }
  }
  return std::optional<TowerPlan>(std::move(plan));
}

void add_to_identity(const TowerPlan& plan, IdentityHash& hash) {
  for (const TowerFileTensor& tensor : plan.tensors) {
    hash.add(tensor.spec.name);
    hash.add(dtype_name(tensor.spec.dtype));
  }
}

Status write_tower_tensor(const TowerPlan& plan, size_t number, ThreadPool& pool,
                          const convert::Output& out, convert::ErrorSum& error) {
  const TowerFileTensor& tensor = plan.tensors[number];
  if (tensor.copied) return convert::write_bytes(tensor.tensor->stored[tensor.frame]->bytes, out);
  const TowerReader reader(*plan.tower, *tensor.tensor, Convention::kGguf, tensor.frame);
  return convert::write_rows(reader, tensor.spec.dtype, {}, pool, out, error);
}

void report_tower_tensor(const TowerPlan& plan, size_t number, const std::string& file,
                         const convert::ErrorSum& error, BuildReport& report) {
  if (!report.vision) report.vision = TowerReport{file, lower_case(plan.type), 0, 0, {}};
  TowerReport& vision = *report.vision;
  const TowerFileTensor& tensor = plan.tensors[number];
  const TowerReader reader(*plan.tower, *tensor.tensor, Convention::kGguf, tensor.frame);
  const auto elements = static_cast<uint64_t>(reader.rows() * reader.columns());
  const uint64_t bytes = dtype_bytes(tensor.spec.dtype, elements).value_or(0);
  vision.tensors.push_back({tensor.spec.name, lower_case(dtype_name(tensor.spec.dtype)),
                            reader.rows(), reader.columns(), bytes, error.relative()});
  vision.parameters += elements;
  vision.bytes += bytes;
}

}  // namespace sluice::quantize
