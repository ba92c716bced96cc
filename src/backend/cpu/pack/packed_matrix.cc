#include "backend/cpu/pack/packed_matrix.h"

#include <algorithm>

#include "backend/cpu/pack/packing.h"

namespace sluice::cpu {
namespace {

// Where things lie in the one block of a matrix.
struct Extent {
  int64_t groups = 0, units_per_group = 0;
  size_t row_scales = 0, tile_scales = 0, bytes = 0;  // offsets, and the end
};

Extent extent_of(const EncodedMatrix& source, const UnitShape& shape) {
  Extent extent;
  extent.groups = (source.rows + kGroupRows - 1) / kGroupRows;
  extent.units_per_group = (source.columns + shape.columns - 1) / shape.columns;
  const auto units = static_cast<size_t>(extent.groups * extent.units_per_group);
  extent.row_scales = units * shape.bytes;
  extent.tile_scales =
      extent.row_scales + static_cast<size_t>(extent.groups) * kGroupRows * sizeof(float);
  extent.bytes =
      extent.tile_scales + (source.format == Format::kFp8Block ? units * sizeof(float) : 0);
  return extent;
}

// A digit's own error is far below that of codes of six bits and fewer, and twice that of eight
// (docs/decisions/cpu-products.md).
ops::ActivationMode resolved(ops::ActivationMode mode, CodeKind codes) {
  if (mode != ops::ActivationMode::kByFormat) return mode;
  return codes < CodeKind::kByte ? ops::ActivationMode::kDigit : ops::ActivationMode::kWide;
}

}  // namespace

size_t PackedMatrix::bytes_for(const EncodedMatrix& source) {
  return PageBlock::footprint(extent_of(source, plan_for(source).shape).bytes);
}

PackedMatrix::PackedMatrix(const EncodedMatrix& source, InstructionSet set,
                           ops::ActivationMode mode, ThreadPool& pool)
    : Matrix(source, bytes_for(source)),
      set_(set),
      activations_(source.activations),
      input_scale_(source.input_scale) {
  const PackPlan plan = plan_for(source);
  mode_ = resolved(mode, plan.shape.codes);
  const Extent extent = extent_of(source, plan.shape);
  block_ = PageBlock(extent.bytes);
  const auto at = [&](size_t offset) { return reinterpret_cast<float*>(block_.data() + offset); };
  PackedArrays arrays;
  arrays.groups = extent.groups;
  arrays.units_per_group = extent.units_per_group;
  arrays.units = reinterpret_cast<uint8_t*>(block_.data());
  arrays.row_scales = at(extent.row_scales);
  if (source.format == Format::kFp8Block) arrays.tile_scales = at(extent.tile_scales);
  pack(source, plan, arrays, set, pool);

  view_.unit = plan.shape;
  view_.units = arrays.units;
  view_.row_scales = arrays.row_scales;
  view_.tile_scales = arrays.tile_scales;
  view_.units_per_group = extent.units_per_group;
  view_.rows = source.rows;
  view_.groups = extent.groups;
  std::copy(std::begin(plan.table), std::end(plan.table), view_.table);
}

}  // namespace sluice::cpu
