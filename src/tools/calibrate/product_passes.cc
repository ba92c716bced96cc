#include "tools/calibrate/product_passes.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "tools/quantize/input_products.h"

namespace sluice::calibrate {

using quantize::InputProducts;

Result<ProductPlan> plan_product_passes(std::span<const ProductDemand> demands, uint64_t budget) {
  std::map<std::string, size_t> last;
  for (size_t i = 0; i < demands.size(); ++i) last[demands[i].input] = i;
  ProductPlan plan;
  std::set<std::string> known;
  uint64_t held = 0, work = 0;             // by the pass at hand
  std::map<std::string, uint64_t> living;  // inputs with their bytes
  for (size_t i = 0; i < demands.size(); ++i) {
    const ProductDemand& demand = demands[i];
    if (!known.insert(demand.input).second) continue;
    const uint64_t bytes = InputProducts::bytes(demand.columns);
    const uint64_t own_work = InputProducts::work_bytes(demand.columns);
    if (plan.passes.empty() || held + bytes + std::max(work, own_work) > budget) {
      std::erase_if(living, [&](const auto& entry) { return last.at(entry.first) < i; });
      held = work = 0;
      for (const auto& [input, size] : living) held += size;
      plan.passes.push_back({i, {}});
      if (held + bytes + own_work > budget) {
        return Error{
            ErrorCode::kDoesNotFit, demand.input,
            fmt::format("the products of its {} columns take {} bytes, with those of other "
                        "inputs at hand and the work on them {}, and {} are there",
                        demand.columns, bytes, held + bytes + own_work, budget),
            "Free memory, or take --method plain"};
      }
    }
    held += bytes;
    work = std::max(work, own_work);
    living[demand.input] = bytes;
    plan.passes.back().inputs.push_back(demand.input);
    plan.most_bytes = std::max(plan.most_bytes, held + work);
  }
  return plan;
}

}  // namespace sluice::calibrate
