#include "backend/cpu/pack/packed_matrix.h"

#include <algorithm>
#include <cstring>

#include "backend/cpu/pack/row_unit.h"
#include "base/check.h"
#include "codec/fp8.h"
#include "codec/scales.h"

namespace sluice::cpu {
namespace {

PackPlan plan_for(const EncodedMatrix& source) {
  PackPlan plan = source.format >= Format::kQ4_0 ? plan_ggml(source) : plan_safetensors(source);
  plan.shape = lay_out(plan.shape);
  return plan;
}

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

// Only what the format uses: a whole RowUnit is four times that.
void clear(RowUnit& row, size_t code_bytes) {
  std::memset(row.codes, 0, code_bytes);
  std::memset(row.super, 0, sizeof row.super);
  std::memset(row.scales, 0, sizeof row.scales);
  std::memset(row.mins, 0, sizeof row.mins);
}

void spread(const uint8_t* from, int count, int width, uint8_t* to, int lane) {
  for (int i = 0; i < count; ++i) {
    std::memcpy(to + (i * kGroupRows + lane) * width, from + i * width, static_cast<size_t>(width));
  }
}

// Constant widths: the compiler turns each copy into one move.
void spread_any(const uint8_t* from, int count, int width, uint8_t* to, int lane) {
  if (width == 1) return spread(from, count, 1, to, lane);
  if (width == 2) return spread(from, count, 2, to, lane);
  if (width == 4) return spread(from, count, 4, to, lane);
}

void spread_row(const RowUnit& row, const UnitShape& shape, int lane, uint8_t* unit) {
  if (shape.scale_offset > 0) spread(row.super, 2, 2, unit + shape.super_offset, lane);
  const int scale_count = shape.scales == ScaleKind::kK4 ? 12 : shape.scale_groups;
  spread_any(row.scales, scale_count, scale_bytes(shape.scales), unit + shape.scale_offset, lane);
  spread_any(row.mins, shape.scale_groups, min_bytes(shape.mins), unit + shape.min_offset, lane);
  if (shape.codes == CodeKind::kF16) {
    spread(row.codes, kFloatColumns, 2, unit + shape.code_offset, lane);
  } else {
    spread(row.codes, static_cast<int>(shape.bytes - shape.code_offset) / kLine, 4,
           unit + shape.code_offset, lane);
  }
}

// The factor of a whole output row: scales per row or tensor, the tensor scale, the table's own.
float row_scale(const EncodedMatrix& source, const PackPlan& plan, int64_t row) {
  float scale = plan.table_scale;
  if (plan.row_scaled) {
    const int64_t scales = source.scales.rows * source.scales.columns;
    scale *= codec::scale_at(source.scales, scales == 1 ? 0 : row);
  }
  if (source.tensor_scale.use == TensorScale::Use::kMultiply) scale *= source.tensor_scale.value;
  if (source.tensor_scale.use == TensorScale::Use::kDivide) scale /= source.tensor_scale.value;
  return scale;
}

}  // namespace

size_t PackedMatrix::bytes_for(const EncodedMatrix& source) {
  return PageBlock::footprint(extent_of(source, plan_for(source).shape).bytes);
}

PackedMatrix::PackedMatrix(const EncodedMatrix& source, InstructionSet set,
                           ops::ActivationMode mode, ThreadPool& pool)
    : Matrix(source, bytes_for(source)),
      set_(set),
      mode_(mode),
      activations_(source.activations),
      input_scale_(source.input_scale) {
  const PackPlan plan = plan_for(source);
  const UnitShape& shape = plan.shape;
  const Extent extent = extent_of(source, shape);
  block_ = PageBlock(extent.bytes);
  auto* units = reinterpret_cast<uint8_t*>(block_.data());
  auto* row_scales = reinterpret_cast<float*>(block_.data() + extent.row_scales);
  auto* tile_scales = reinterpret_cast<float*>(block_.data() + extent.tile_scales);
  const bool tiled = source.format == Format::kFp8Block;
  const size_t code_bytes = (shape.bytes - shape.code_offset) / kGroupRows;

  pool.for_range(extent.groups, 1, [&](int64_t begin, int64_t end) {
    RowUnit row_unit;
    for (int64_t group = begin; group < end; ++group) {
      const int64_t first = group * kGroupRows, last = std::min(first + kGroupRows, source.rows);
      for (int64_t row = first; row < last; ++row) row_scales[row] = row_scale(source, plan, row);
      for (int64_t u = 0; u < extent.units_per_group; ++u) {
        const int64_t index = group * extent.units_per_group + u;
        uint8_t* unit = units + static_cast<size_t>(index) * shape.bytes;
        for (int64_t row = first; row < last; ++row) {
          clear(row_unit, code_bytes);
          plan.read(source, shape, row, u, row_unit);
          spread_row(row_unit, shape, static_cast<int>(row - first), unit);
        }
        if (tiled) {
          // A unit is as wide as a tile, and 16 rows never cross one.
          static_assert(kFloatColumns == codec::kFp8Tile && codec::kFp8Tile % kGroupRows == 0);
          const int64_t tile_row = first / codec::kFp8Tile;
          tile_scales[index] =
              codec::scale_at(source.scales, tile_row * extent.units_per_group + u);
        }
      }
    }
  });

  view_.unit = shape;
  view_.units = units;
  view_.row_scales = row_scales;
  view_.tile_scales = tiled ? tile_scales : nullptr;
  view_.units_per_group = extent.units_per_group;
  view_.rows = source.rows;
  view_.groups = extent.groups;
  std::copy(std::begin(plan.table), std::end(plan.table), view_.table);
}

}  // namespace sluice::cpu
