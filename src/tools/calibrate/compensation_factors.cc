#include "tools/calibrate/compensation_factors.h"

#include <algorithm>
#include <utility>

#include "tools/calibrate/inputs.h"
#include "tools/convert/head_order.h"

namespace sluice::calibrate {

using quantize::CompensationFactor;

CompensationFactors::CompensationFactors(const model::Binding& binding, CompensationRun run)
    : binding_(binding), run_(std::move(run)) {
  for (const LinearLayer& layer : linear_layers(binding, run_.draft)) {
    input_of_[layer.module] = layer.input;
    demand_of_[layer.input] = {layer.input, layer.columns};
    // Matrices are written with value heads in the order of published checkpoints.
    const auto place = convert::head_place(layer.module + ".weight", binding.config);
    if (place && !place->rows) {
      columns_[layer.input] =
          convert::moved_indices(*place, layer.columns, binding.config, ops::HeadOrder::kGrouped);
    }
  }
}

Status CompensationFactors::expect(std::span<const std::string> modules) {
  std::vector<ProductDemand> demands;
  for (const std::string& module : modules) {
    const auto input = input_of_.find(module);
    if (input == input_of_.end()) {
      return failed(module, "nothing is known of its input",
                    "Take --method plain, or --keep-mtp bf16 for a draft head that cannot run");
    }
    demands.push_back(demand_of_.at(input->second));
    ++wanted_[input->second];
  }
  SLUICE_ASSIGN(plan_, plan_product_passes(demands, run_.budget));
  if (run_.announce) run_.announce(plan_);
  return {};
}

Status CompensationFactors::gather(const std::string& input, ThreadPool& pool) {
  std::vector<std::string> wanted = {input};
  for (size_t i = next_pass_; i < plan_.passes.size(); ++i) {
    const auto& inputs = plan_.passes[i].inputs;
    if (std::find(inputs.begin(), inputs.end(), input) == inputs.end()) continue;
    wanted = inputs;
    next_pass_ = i + 1;
    break;
  }
  products_.clear();  // what an earlier pass gathered and nobody asked for
  for (const std::string& one : wanted)
    products_.try_emplace(one, demand_of_.at(one).columns, columns_[one]);
  SLUICE_TRY(run_.read(runs_++, [&](ops::Backend& backend) {
    return std::make_unique<ProductGatherer>(backend, pool, products_);
  }));
  for (const auto& [name, gathered] : products_) {
    if (!gathered.products.finite())
      return failed(name, "a value is not finite, or too large for its square",
                    "Check the model: sluice inspect MODEL --validate");
  }
  return {};
}

Result<std::shared_ptr<const CompensationFactor>> CompensationFactors::factor(
    const std::string& module, ThreadPool& pool) {
  const std::string& input = input_of_.at(module);
  auto found = factors_[input];
  if (found == nullptr) {
    if (!products_.contains(input)) SLUICE_TRY(gather(input, pool));
    auto products = products_.extract(input);
    found = factors_[input] = std::make_shared<const CompensationFactor>(
        quantize::factorize(std::move(products.mapped().products), pool));
  }
  if (--wanted_[input] <= 0) factors_.erase(input);
  return found;
}

}  // namespace sluice::calibrate
