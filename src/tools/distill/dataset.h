// The samples of a run and the order in which they are seen.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "tools/distill/model_folder.h"
#include "tools/distill/sample.h"

namespace sluice::distill {

struct Dataset {
  std::vector<Sample> samples;
  int64_t too_long = 0;  // dropped: more than the longest allowed
  int64_t tokens = 0, labels = 0;
};

// Reads JSONL files, every line a sample (conversation.h), with up to `threads` threads. Samples of
// more than `longest` tokens are dropped and counted; samples of one token teach nothing and are
// dropped as well. Errors name file and line. Ids must be below `vocabulary`.
Result<Dataset> read_dataset(std::span<const std::string> files, const TextTools& tools,
                             int64_t longest, int64_t vocabulary, int threads);

// Where a run stands in its data: everything that the order depends on, together with the seed.
struct DataPosition {
  int64_t epoch = 0, next = 0;
};

// Hands out samples in an order that is a function of seed and epoch alone.
class SampleOrder {
 public:
  SampleOrder(size_t count, uint64_t seed, DataPosition position);

  size_t peek() const { return order_[static_cast<size_t>(position_.next)]; }
  void advance();  // to the next epoch behind the last sample
  DataPosition position() const { return position_; }

 private:
  void shuffle();

  std::vector<size_t> order_;
  uint64_t seed_;
  DataPosition position_;
};

// The next samples for `shards` batches of at most `budget` tokens each (a sample never exceeds
// it).
std::vector<std::vector<const Sample*>> next_shards(const Dataset& dataset, SampleOrder& order,
                                                    int64_t shards, int64_t budget);

}  // namespace sluice::distill
