#include "tools/calibrate/product_gatherer.h"

#include <utility>

#include "base/check.h"

namespace sluice::calibrate {

void ProductGatherer::record(const std::string& name, const ops::View& value) {
  const auto found = inputs_.find(name);
  if (found == inputs_.end()) return;
  GatheredProducts& input = found->second;
  SLUICE_CHECK(value.columns == input.products.columns(), "{}: {} columns, not {}", name,
               value.columns, input.products.columns());
  std::vector<float> values = backend_.download(value);
  if (!input.source.empty()) {
    const auto width = static_cast<size_t>(value.columns);
    std::vector<float> moved(values.size());
    for (size_t row = 0; row < values.size(); row += width) {
      for (size_t i = 0; i < width; ++i)
        moved[row + i] = values[row + static_cast<size_t>(input.source[i])];
    }
    values = std::move(moved);
  }
  input.products.add(values, pool_);
}

}  // namespace sluice::calibrate
