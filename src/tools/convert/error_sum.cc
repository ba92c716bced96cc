#include "tools/convert/error_sum.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "codec/lanes.h"

namespace sluice::convert {
namespace {

using codec::kLanes;

// A row's sums are made one column after the other; four rows side by side leave the processor
// something to do while each waits for its own addition.
constexpr size_t kRows = 4;
constexpr size_t kStep = 128;  // columns at once, in the first cache

// Columns of four rows, `count` times four values. Plain sums of four are what compilers make two
// vectors of.
void add_columns(const float* values, const float* decoded, size_t count,
                 std::array<double, kRows>& errors, std::array<double, kRows>& norms) {
  std::array<double, kRows> error = errors, norm = norms;
  for (size_t i = 0; i < count * kRows; i += kRows) {
    for (size_t row = 0; row < kRows; ++row) {
      const auto value = static_cast<double>(values[i + row]);
      const double difference = static_cast<double>(decoded[i + row]) - value;
      error[row] += difference * difference;
      norm[row] += value * value;
    }
  }
  errors = error;
  norms = norm;
}

// Columns of four rows one behind the other.
void take_columns(const float* rows, size_t columns, size_t begin, size_t count, float* out) {
  const float* first = rows + begin;
  size_t at = 0;
  for (; at + kLanes <= count; at += kLanes) {
    codec::transpose(
        {codec::load_lanes(first + at), codec::load_lanes(first + columns + at),
         codec::load_lanes(first + 2 * columns + at), codec::load_lanes(first + 3 * columns + at)},
        out + at * kRows);
  }
  for (; at < count; ++at) {
    for (size_t row = 0; row < kRows; ++row) out[at * kRows + row] = first[row * columns + at];
  }
}

void add_four_rows(const float* values, const float* decoded, size_t columns, ErrorSum* sums) {
  std::array<float, kStep * kRows> value, other;
  std::array<double, kRows> errors, norms;
  for (size_t row = 0; row < kRows; ++row) {
    errors[row] = sums[row].squared_error;
    norms[row] = sums[row].squared_norm;
  }
  for (size_t begin = 0; begin < columns; begin += kStep) {
    const size_t count = std::min(kStep, columns - begin);
    take_columns(values, columns, begin, count, value.data());
    take_columns(decoded, columns, begin, count, other.data());
    add_columns(value.data(), other.data(), count, errors, norms);
  }
  for (size_t row = 0; row < kRows; ++row) sums[row] = {errors[row], norms[row]};
}

}  // namespace

double ErrorSum::relative() const {
  return squared_norm > 0 ? std::sqrt(squared_error / squared_norm) : 0.0;
}

void add_norm(std::span<const float> values, ErrorSum& sum) {
  for (const float weight : values) {
    const auto value = static_cast<double>(weight);
    sum.squared_norm += value * value;
  }
}

void add_errors(std::span<const float> values, std::span<const float> decoded,
                std::span<ErrorSum> sums) {
  const size_t columns = values.size() / sums.size();
  size_t row = 0;
  for (; row + kRows <= sums.size(); row += kRows)
    add_four_rows(&values[row * columns], &decoded[row * columns], columns, &sums[row]);
  for (; row < sums.size(); ++row) {
    for (size_t i = row * columns; i < (row + 1) * columns; ++i) {
      const auto value = static_cast<double>(values[i]);
      const double difference = static_cast<double>(decoded[i]) - value;
      sums[row].squared_error += difference * difference;
      sums[row].squared_norm += value * value;
    }
  }
}

void add_rows(std::span<const ErrorSum> sums, ErrorSum& total) {
  for (const ErrorSum& sum : sums) {
    total.squared_error += sum.squared_error;
    total.squared_norm += sum.squared_norm;
  }
}

}  // namespace sluice::convert
