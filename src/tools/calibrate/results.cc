#include "tools/calibrate/results.h"

#include "model/tensor_names.h"
#include "tools/convert/head_order.h"

namespace sluice::calibrate {
namespace {

std::vector<double> in_gguf_order(const std::vector<double>& columns, const std::string& canonical,
                                  const model::TextConfig& config) {
  const auto place = convert::head_place(canonical, config);
  if (!place || place->rows) return columns;
  const auto from = convert::moved_indices(*place, static_cast<int64_t>(columns.size()), config,
                                           ops::HeadOrder::kTiled);
  std::vector<double> moved = columns;
  for (size_t i = 0; i < from.size(); ++i) moved[i] = columns[static_cast<size_t>(from[i])];
  return moved;
}

}  // namespace

checkpoint::ImportanceRecord importance(const model::Binding& binding, bool draft, bool head,
                                        const Statistics& statistics) {
  checkpoint::ImportanceRecord record;
  for (const LinearLayer& layer : linear_layers(binding, draft)) {
    if (layer.head && !head) continue;
    const std::string canonical = layer.module + ".weight";
    const InputStatistics& input = statistics.at(layer.input);
    record.entries.push_back({model::gguf_name(canonical, binding.config.layers),
                              in_gguf_order(input.squares, canonical, binding.config), input.rows});
  }
  return record;
}

quantize::ActivationRanges ranges(const model::Binding& binding, bool draft,
                                  const Statistics& statistics) {
  using quantize::ActivationRanges;
  ActivationRanges out;
  for (const LinearLayer& layer : linear_layers(binding, draft)) {
    const float amax = statistics.at(layer.input).amax;
    const bool lookup = layer.module == "embed_tokens";  // quantizers know no input of a table
    if (ActivationRanges::valid(amax) && !lookup) out.set(layer.module, amax);
  }
  for (const CachedLayer& layer : cached_layers(binding.config, draft)) {
    const float key = statistics.at(layer.key).amax, value = statistics.at(layer.value).amax;
    if (ActivationRanges::valid(key) && ActivationRanges::valid(value))
      out.set_key_value(layer.attention, {key, value});
  }
  return out;
}

}  // namespace sluice::calibrate
