// Factors for error-compensating rounding from runs of the source model over a calibration text: as
// many inputs at a time as memory holds, each pass a run of its own.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/binding.h"
#include "tools/calibrate/product_gatherer.h"
#include "tools/calibrate/product_passes.h"
#include "tools/quantize/compensation_source.h"

namespace sluice::calibrate {

struct CompensationRun {
  std::string text;      // the file's name
  std::string identity;  // of what is read, and of the arithmetic that reads it
  uint64_t tokens = 0;   // read in each pass
  uint64_t budget = 0;   // bytes for products, their factors and the work on them
  bool draft = false;    // the run also reads the draft head
  // Said once, before the first pass.
  std::function<void(const ProductPlan&)> announce;
  // Loads the model, reads the text and gives both back. It makes the tap for the backend it loads,
  // which lives as long as the run.
  using MakeTap = std::function<std::unique_ptr<ProductGatherer>(ops::Backend&)>;
  std::function<Status(size_t pass, const MakeTap& make_tap)> read;
};

class CompensationFactors : public quantize::CompensationSource {
 public:
  // The binding of the model that `run` reads; borrowed.
  CompensationFactors(const model::Binding& binding, CompensationRun run);

  Status expect(std::span<const std::string> modules) override;
  Result<std::shared_ptr<const quantize::CompensationFactor>> factor(const std::string& module,
                                                                     ThreadPool& pool) override;
  std::string text() const override { return run_.text; }
  uint64_t tokens() const override { return run_.tokens; }
  std::string identity() const override { return run_.identity; }

 private:
  // Reads the text for the input's pass, or for the input alone if that pass is over.
  Status gather(const std::string& input, ThreadPool& pool);

  const model::Binding& binding_;
  CompensationRun run_;
  std::map<std::string, std::string> input_of_;          // by module
  std::map<std::string, ProductDemand> demand_of_;       // by input
  std::map<std::string, std::vector<int64_t>> columns_;  // by input, where they move
  std::map<std::string, int64_t> wanted_;                // by input: how often still
  ProductPlan plan_;
  size_t next_pass_ = 0, runs_ = 0;
  std::map<std::string, GatheredProducts> products_;
  std::map<std::string, std::shared_ptr<const quantize::CompensationFactor>> factors_;
};

}  // namespace sluice::calibrate
