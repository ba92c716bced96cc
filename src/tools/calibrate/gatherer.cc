#include "tools/calibrate/gatherer.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/check.h"

namespace sluice::calibrate {
namespace {

// Columns that a thread takes at once: whole cache lines of sums.
constexpr int64_t kGrain = 64;

// Adds squares and raises maxima, both by column, for these columns of all rows. (Column by column
// also for the maxima: a single one for all would not vectorise.)
void add_rows(std::span<const float> values, size_t width, size_t begin, size_t end,
              std::span<double> squares, std::span<float> maxima) {
  for (size_t row = 0; row < values.size(); row += width) {
    for (size_t column = begin; column < end; ++column) {
      const float value = values[row + column], magnitude = std::fabs(value);
      squares[column] += static_cast<double>(value) * static_cast<double>(value);
      maxima[column] = magnitude > maxima[column] ? magnitude : maxima[column];
    }
  }
}

}  // namespace

void Gatherer::record(const std::string& name, const ops::View& value) {
  const auto found = statistics_.find(name);
  if (found == statistics_.end()) return;
  InputStatistics& input = found->second;
  const std::vector<float> values = backend_.download(value);
  const auto width = static_cast<size_t>(value.columns);
  std::vector<double> passing;  // sums that nobody keeps still tell what is not finite
  std::vector<double>& squares = input.squares.empty() ? passing : input.squares;
  if (input.squares.empty()) passing.resize(width);
  SLUICE_CHECK(squares.size() == width, "{}: {} columns, not {}", name, width, squares.size());
  std::vector<float> maxima(width);
  pool_.for_range(value.columns, kGrain, [&](int64_t begin, int64_t end) {
    add_rows(values, width, static_cast<size_t>(begin), static_cast<size_t>(end), squares, maxima);
  });
  input.rows += static_cast<uint64_t>(value.rows);
  input.amax = std::max(input.amax, *std::max_element(maxima.begin(), maxima.end()));
  // The square of a float cannot overflow a double, so only a value that was not finite can be to
  // blame.
  const bool finite =
      std::all_of(squares.begin(), squares.end(), [](double sum) { return std::isfinite(sum); });
  if (!finite && damaged_.empty()) damaged_ = name;
}

Status Gatherer::status() const {
  if (damaged_.empty()) return {};
  return failed(damaged_, "a value is not finite",
                "Check the model: sluice inspect MODEL --validate");
}

}  // namespace sluice::calibrate
