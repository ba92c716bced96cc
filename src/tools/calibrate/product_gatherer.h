// The tap of a run whose inputs' products are wanted: X^T X of each input that waits for it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/threads.h"
#include "model/trace.h"
#include "tools/quantize/input_products.h"

namespace sluice::calibrate {

struct GatheredProducts {
  explicit GatheredProducts(int64_t columns, std::vector<int64_t> from = {})
      : products(columns), source(std::move(from)) {}
  quantize::InputProducts products;
  std::vector<int64_t> source;  // the model's column at each place; empty: its own order
};

class ProductGatherer : public model::TraceSink {
 public:
  // `inputs`, by the names of traces, are added to. All are borrowed. A sum's order does not depend
  // on threads, nor on what else is gathered.
  ProductGatherer(ops::Backend& backend, ThreadPool& pool,
                  std::map<std::string, GatheredProducts>& inputs)
      : backend_(backend), pool_(pool), inputs_(inputs) {}

  void record(const std::string& name, const ops::View& value) override;

 private:
  ops::Backend& backend_;
  ThreadPool& pool_;
  std::map<std::string, GatheredProducts>& inputs_;
};

}  // namespace sluice::calibrate
