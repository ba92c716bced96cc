#include "backend/cpu/pack/packing.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "backend/cpu/pack/lines.h"
#include "backend/cpu/pack/look_ahead.h"
#include "backend/cpu/pack/whole_units.h"
#include "codec/fp8.h"
#include "codec/scales.h"

namespace sluice::cpu {
namespace {

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

// The rows of a unit to its lanes.
void spread_rows(const RowUnit (&rows)[kGroupRows], const UnitShape& shape, uint8_t* unit) {
  const int scale_count = shape.scales == ScaleKind::kK4 ? 12 : shape.scale_groups;
  for (int lane = 0; lane < kGroupRows; ++lane) {
    const RowUnit& row = rows[lane];
    if (shape.scale_offset > 0) spread(row.super, 2, 2, unit + shape.super_offset, lane);
    spread_any(row.scales, scale_count, scale_bytes(shape.scales), unit + shape.scale_offset, lane);
    spread_any(row.mins, shape.scale_groups, min_bytes(shape.mins), unit + shape.min_offset, lane);
  }
  uint8_t* codes = unit + shape.code_offset;
  const int vectors = static_cast<int>(shape.bytes - shape.code_offset) / (kGroupRows * 16);
  if (shape.codes == CodeKind::kF16) {
    transpose_halves(vectors, codes,
                     [&](int row, int v) { return load_vector<Halves>(rows[row].codes + 16 * v); });
  } else {
    transpose_dwords(vectors, 1, codes,
                     [&](int row, int v) { return load_vector<Words>(rows[row].codes + 16 * v); });
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

// One matrix on its way into its arrays. Members of the pool share it.
struct Packing {
  const EncodedMatrix& source;
  const PackPlan& plan;
  const PackedArrays& to;
  UnitPacker pack_whole;  // or nullptr

  void pack_groups(int64_t begin, int64_t end) const;

 private:
  void pack_group(int64_t group, const LookAhead* ahead, RowUnit (&rows)[kGroupRows]) const;
  void read_rows(int64_t first, int64_t unit, RowUnit (&rows)[kGroupRows]) const;
};

void Packing::read_rows(int64_t first, int64_t unit, RowUnit (&rows)[kGroupRows]) const {
  const size_t code_bytes = (plan.shape.bytes - plan.shape.code_offset) / kGroupRows;
  for (int64_t lane = 0; lane < kGroupRows; ++lane) {
    clear(rows[lane], code_bytes);
    if (first + lane < source.rows) plan.read(source, plan.shape, first + lane, unit, rows[lane]);
  }
}

void Packing::pack_group(int64_t group, const LookAhead* ahead, RowUnit (&rows)[kGroupRows]) const {
  const UnitShape& shape = plan.shape;
  const int64_t first = group * kGroupRows, last = std::min(first + kGroupRows, source.rows);
  const int64_t whole_units =
      pack_whole == nullptr || last - first < kGroupRows ? 0 : source.columns / shape.columns;
  for (int64_t row = first; row < last; ++row) to.row_scales[row] = row_scale(source, plan, row);
  for (int64_t u = 0; u < to.units_per_group; ++u) {
    const int64_t index = group * to.units_per_group + u;
    uint8_t* unit = to.units + static_cast<size_t>(index) * shape.bytes;
    if (u < whole_units) {
      if (ahead != nullptr) ahead->ask(first, u);
      pack_whole(source, shape, first, u, unit);
    } else {
      read_rows(first, u, rows);
      spread_rows(rows, shape, unit);
    }
    if (to.tile_scales != nullptr) {
      // A unit is as wide as a tile, and 16 rows never cross one.
      static_assert(kFloatColumns == codec::kFp8Tile && codec::kFp8Tile % kGroupRows == 0);
      const int64_t tile_row = first / codec::kFp8Tile;
      to.tile_scales[index] = codec::scale_at(source.scales, tile_row * to.units_per_group + u);
    }
  }
}

void Packing::pack_groups(int64_t begin, int64_t end) const {
  using Clock = std::chrono::steady_clock;
  RowUnit rows[kGroupRows];
  const LookAhead ahead(source, plan.shape);
  LookAheadTrial trial(pack_whole == nullptr ? 0 : end - begin);
  for (int64_t group = begin; group < end; ++group) {
    const auto start = trial.running() ? Clock::now() : Clock::time_point();
    pack_group(group, trial.looks_ahead() ? &ahead : nullptr, rows);
    if (trial.running()) {
      trial.finish_group(std::chrono::duration<double>(Clock::now() - start).count());
    }
  }
}

}  // namespace

PackPlan plan_for(const EncodedMatrix& source) {
  PackPlan plan = source.format >= Format::kQ4_0 ? plan_ggml(source) : plan_safetensors(source);
  plan.shape = lay_out(plan.shape);
  return plan;
}

void pack(const EncodedMatrix& source, const PackPlan& plan, const PackedArrays& to,
          InstructionSet set, ThreadPool& pool) {
  const bool ggml = source.format >= Format::kQ4_0;
  const Packing packing{
      source, plan, to,
      ggml ? unit_packer_ggml(source) : unit_packer_safetensors(source, plan.shape, set)};
  pool.for_range(to.groups, 1,
                 [&](int64_t begin, int64_t end) { packing.pack_groups(begin, end); });
}

}  // namespace sluice::cpu
