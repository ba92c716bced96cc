#include "backend/cpu/rotary.h"

#include <cmath>

#include "base/check.h"

namespace sluice::cpu {
namespace {

bool same(const ops::RotaryTable& a, const ops::RotaryTable& b) {
  return a.inverse_frequencies == b.inverse_frequencies && a.components == b.components &&
         a.attention_factor == b.attention_factor;
}

}  // namespace

void RotaryAngles::prepare(const ops::RotaryTable& table, std::span<const ops::Row> rows) {
  if (!same(table, table_)) {
    for (const uint8_t component : table.components) {
      SLUICE_CHECK(component < 3, "position component {}", component);
    }
    table_ = table;
    positions_.clear();
  }
  const auto pairs = static_cast<size_t>(this->pairs());
  const size_t valid = positions_.size();
  if (rows.size() > valid) {
    positions_.resize(rows.size());
    values_.resize(rows.size() * 2 * pairs);
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    const std::array<int32_t, 3> position = {rows[r].rope[0], rows[r].rope[1], rows[r].rope[2]};
    if (r < valid && positions_[r] == position) continue;
    positions_[r] = position;
    float* const cosines = values_.data() + r * 2 * pairs;
    for (size_t m = 0; m < pairs; ++m) {
      // The float32 product is the reference's; cos and sin of that rounded angle are taken in
      // double, which is exact to the last bit also at positions in the millions.
      const float angle =
          static_cast<float>(position[table_.components[m]]) * table_.inverse_frequencies[m];
      const auto wide = static_cast<double>(angle);
      cosines[m] = static_cast<float>(std::cos(wide)) * table_.attention_factor;
      cosines[pairs + m] = static_cast<float>(std::sin(wide)) * table_.attention_factor;
    }
  }
}

size_t RotaryAngles::bytes(int64_t rows) {
  constexpr size_t kPairs = 32;
  return static_cast<size_t>(rows) * (2 * kPairs * sizeof(float) + sizeof(std::array<int32_t, 3>));
}

}  // namespace sluice::cpu
