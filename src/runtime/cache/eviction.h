// Which checkpoint the prefix tree can do without best.
#pragma once

#include <cstdint>

#include "runtime/cache/prefix_tree.h"

namespace sluice::runtime {

// A checkpoint is worth the tokens that would have to be read again without it, for each byte that
// it keeps from others (its state, and the pages that only it needs), divided by the number of
// requests since it was of use. Plain recency would throw the state behind a system prompt of
// 20,000 tokens out for a few short questions.
class Eviction {
 public:
  explicit Eviction(const PrefixTree& tree, int32_t spared = -1) : tree_(tree), spared_(spared) {}

  // -1: there is none.
  int32_t least_valuable() const { return choose(Among::kAll); }
  int32_t least_valuable_with_pages() const { return choose(Among::kWithPages); }
  int32_t least_valuable_without_file() const { return choose(Among::kWithoutFile); }

 private:
  enum class Among : uint8_t { kAll, kWithPages, kWithoutFile };
  int32_t choose(Among among) const;
  int64_t freed_pages(const PrefixTree::Checkpoint& checkpoint) const;
  int64_t tokens_to_read(const PrefixTree::Checkpoint& checkpoint) const;

  const PrefixTree& tree_;
  const int32_t spared_;
};

}  // namespace sluice::runtime
