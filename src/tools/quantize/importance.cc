#include "tools/quantize/importance.h"

#include <fmt/format.h>

#include "model/tensor_names.h"
#include "tools/convert/head_order.h"

namespace sluice::quantize {

Result<std::span<const float>> importance_of(const checkpoint::ImportanceMatrix* matrix,
                                             const std::string& file,
                                             const convert::SourceWeight& weight,
                                             const model::TextConfig& config) {
  if (matrix == nullptr) return std::span<const float>();
  const auto* entry = matrix->find(model::gguf_name(weight.canonical, config.layers));
  if (entry == nullptr) return std::span<const float>();
  if (entry->values.size() != static_cast<size_t>(weight.bound->matrix.columns)) {
    return bad_input(file,
                     fmt::format("{} has {} values, the weight has {} columns", entry->tensor,
                                 entry->values.size(), weight.bound->matrix.columns),
                     "Take the importance matrix of this model");
  }
  return std::span<const float>(entry->values);
}

std::vector<float> in_published_order(std::span<const float> importance,
                                      const convert::SourceWeight& weight,
                                      const model::TextConfig& config) {
  std::vector<float> values(importance.begin(), importance.end());
  const auto place = convert::head_place(weight.canonical, config);
  if (values.empty() || !place || place->rows) return values;
  model::TextConfig tiled = config;
  tiled.head_order = ops::HeadOrder::kTiled;
  const auto from = convert::moved_indices(*place, static_cast<int64_t>(values.size()), tiled,
                                           ops::HeadOrder::kGrouped);
  for (size_t i = 0; i < from.size(); ++i) values[i] = importance[static_cast<size_t>(from[i])];
  return values;
}

}  // namespace sluice::quantize
