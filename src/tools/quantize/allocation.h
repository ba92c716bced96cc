// Which of its formats each part of a model gets under a budget: the multiple-choice knapsack, by
// steps along the convex hulls (docs/decisions/formats-under-a-budget.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"

namespace sluice::quantize {

struct AllocationOption {
  uint64_t bytes = 0;
  double loss = 0;  // finite, >= 0
};

// One part that is chosen for as a whole; its options in any order, at least one.
using AllocationItem = std::vector<AllocationOption>;

struct Allocation {
  std::vector<size_t> chosen;  // option of each item
  uint64_t bytes = 0;
  double loss = 0;
  // No choice under the same limit is better by more than this: in loss for a limit of bytes, in
  // bytes for a limit of loss. From the fractional optimum, which bounds every whole one.
  double gap = 0;
};

// The smallest that any choice can be.
uint64_t least_bytes(const std::vector<AllocationItem>& items);
// The smallest loss that any choice can have.
double least_loss(const std::vector<AllocationItem>& items);

// Small loss within `budget` bytes; nothing if even least_bytes() is more. Steps along the hulls in
// the order of loss saved per byte while they fit, then single changes that still fit as long as
// one helps. Ties go to the earlier item.
std::optional<Allocation> allocate_bytes(const std::vector<AllocationItem>& items, uint64_t budget);

// Few bytes with a sum of losses of at most `most`; nothing if least_loss() is more.
std::optional<Allocation> allocate_loss(const std::vector<AllocationItem>& items, double most);

}  // namespace sluice::quantize
