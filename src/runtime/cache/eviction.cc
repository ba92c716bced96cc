#include "runtime/cache/eviction.h"

#include <limits>

namespace sluice::runtime {

// Pages that go with the checkpoint: its own partial page, and its path upwards as far as nothing
// else needs it.
int64_t Eviction::freed_pages(const PrefixTree::Checkpoint& checkpoint) const {
  int64_t freed = checkpoint.partial >= 0 ? 1 : 0;
  int32_t index = checkpoint.node;
  const auto* owner = &tree_.node(index);
  if (owner->first_child >= 0 || tree_.at(owner->first_checkpoint).next >= 0) return freed;
  while (index != tree_.root() && owner->users == 0) {
    ++freed;
    const auto& parent = tree_.node(owner->parent);
    const bool only_child = parent.first_child == index && owner->next_sibling < 0;
    if (!only_child || parent.first_checkpoint >= 0) break;
    index = owner->parent;
    owner = &parent;
  }
  return freed;
}

// From the nearest checkpoint before it on the same path.
int64_t Eviction::tokens_to_read(const PrefixTree::Checkpoint& checkpoint) const {
  const int64_t position = tree_.position(checkpoint);
  for (int32_t index = checkpoint.node;; index = tree_.node(index).parent) {
    const auto& node = tree_.node(index);
    for (int32_t i = node.first_checkpoint; i >= 0; i = tree_.at(i).next) {
      const auto& other = tree_.at(i);
      if (&other != &checkpoint && other.tail.empty()) return position - tree_.position(other);
    }
    if (index == tree_.root()) return position;
  }
}

int32_t Eviction::choose(Among among) const {
  int32_t chosen = -1;
  double lowest = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < tree_.checkpoints_.size(); ++i) {
    const auto& checkpoint = tree_.checkpoints_[i];
    if (checkpoint.node < 0 || static_cast<int32_t>(i) == spared_) continue;
    if (among == Among::kWithoutFile && checkpoint.file != PrefixTree::kNoFile) continue;
    const int64_t pages = freed_pages(checkpoint);
    if (among == Among::kWithPages && pages == 0) continue;
    const double bytes = static_cast<double>(tree_.bytes_.state) +
                         static_cast<double>(tree_.bytes_.page) * static_cast<double>(pages);
    const auto age = static_cast<double>(tree_.clock_ - checkpoint.last_use + 1);
    const double worth = static_cast<double>(tokens_to_read(checkpoint)) / bytes / age;
    if (worth >= lowest) continue;
    lowest = worth;
    chosen = static_cast<int32_t>(i);
  }
  return chosen;
}

}  // namespace sluice::runtime
