// cos and sin of the rows' rotary angles, computed once per step instead of once per layer.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "ops/backend.h"

namespace sluice::cpu {

class RotaryAngles {
 public:
  // Makes rows [0, rows.size()) valid for this table. A row whose position and table are those of
  // the call before is kept.
  void prepare(const ops::RotaryTable& table, std::span<const ops::Row> rows);

  int64_t pairs() const { return static_cast<int64_t>(table_.inverse_frequencies.size()); }
  const float* cosines(int64_t row) const { return values_.data() + row * 2 * pairs(); }
  const float* sines(int64_t row) const { return cosines(row) + pairs(); }

  // Memory for this many rows, for the plan (64 rotary dimensions: the whole family).
  static size_t bytes(int64_t rows);

 private:
  ops::RotaryTable table_;
  std::vector<std::array<int32_t, 3>> positions_;
  std::vector<float> values_;  // [rows][cosines, sines][pairs]
};

}  // namespace sluice::cpu
