#include "backend/cpu/pack/look_ahead.h"

#include <algorithm>

namespace sluice::cpu {
namespace {

// Half of a trial goes the worse way: should that cost a fifth, a run loses a twenty-fifth.
constexpr int64_t kLeastGroups = 60;

// What is found must be more than chance.
constexpr double kClearly = 0.97;

template <size_t kCount>
double median(std::array<double, kCount>& values) {
  const auto middle = values.begin() + kCount / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

LookAhead::Walk LookAhead::walk_over(const Plane& plane, const EncodedMatrix& source,
                                     const UnitShape& shape) {
  if (plane.rows < source.rows) return {};  // a scale for all, or for each tile
  const int64_t row_bytes = static_cast<int64_t>(plane.bytes.size()) / plane.rows;
  return {plane.bytes.data(), row_bytes, row_bytes * shape.columns / source.columns};
}

LookAhead::LookAhead(const EncodedMatrix& source, const UnitShape& shape)
    : rows_(source.rows),
      units_(source.columns / shape.columns),
      codes_(walk_over(source.codes, source, shape)),
      scales_(walk_over(source.scales, source, shape)) {}

void LookAhead::ask_for(const Walk& walk, int64_t first_row, int64_t unit) {
  const std::byte* row = walk.bytes + first_row * walk.row_bytes + unit * walk.unit_bytes;
  for (int r = 0; r < kGroupRows; ++r, row += walk.row_bytes) {
    for (int64_t at = 0; at < walk.unit_bytes; at += kLine) __builtin_prefetch(row + at);
  }
}

void LookAhead::ask(int64_t first_row, int64_t unit) const {
  unit += kUnits;
  if (unit >= units_) {
    unit -= units_;
    first_row += kGroupRows;
  }
  if (unit >= units_ || first_row + kGroupRows > rows_) return;
  ask_for(codes_, first_row, unit);
  ask_for(scales_, first_row, unit);
}

LookAheadTrial::LookAheadTrial(int64_t groups) : running_(groups >= kLeastGroups) {}

void LookAheadTrial::finish_group(double seconds) {
  const auto way = static_cast<size_t>(block() % 2);
  if (done_ % kBlock > 0) seconds_[way][counted_[way]++] = seconds;
  if (++done_ < kBlock * kBlocks) return;
  running_ = false;
  // Medians: a group that begins a large page takes far longer, and a load is never alone.
  pays_ = median(seconds_[1]) < kClearly * median(seconds_[0]);
}

}  // namespace sluice::cpu
