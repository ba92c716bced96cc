#include "tools/quantize/allocation.h"

#include <algorithm>
#include <cmath>

namespace sluice::quantize {
namespace {

struct Step {
  size_t item = 0, to = 0;  // from the option before it on the item's hull
  uint64_t bytes = 0;       // more than before
  double saved = 0;         // loss less than before
  double rate() const { return saved / static_cast<double>(bytes); }
};

// Options on the lower convex hull of loss over bytes, smallest first: more bytes always mean less
// loss, at a falling rate.
std::vector<size_t> hull_of(const AllocationItem& item) {
  std::vector<size_t> order(item.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return item[a].bytes != item[b].bytes ? item[a].bytes < item[b].bytes
                                          : item[a].loss < item[b].loss;
  });
  const auto rate = [&](size_t from, size_t to) {
    return (item[from].loss - item[to].loss) /
           static_cast<double>(item[to].bytes - item[from].bytes);
  };
  std::vector<size_t> hull;
  for (const size_t option : order) {
    if (!hull.empty() && (item[option].loss >= item[hull.back()].loss)) continue;
    while (hull.size() >= 2 &&
           rate(hull[hull.size() - 2], hull.back()) <= rate(hull.back(), option))
      hull.pop_back();
    hull.push_back(option);
  }
  return hull;
}

// All steps of all items, best rate first; a step comes after those before it on its hull.
std::vector<Step> steps_of(const std::vector<AllocationItem>& items, Allocation& start) {
  std::vector<Step> steps;
  for (size_t i = 0; i < items.size(); ++i) {
    const std::vector<size_t> hull = hull_of(items[i]);
    start.chosen.push_back(hull.front());
    start.bytes += items[i][hull.front()].bytes;
    for (size_t k = 1; k < hull.size(); ++k) {
      const AllocationOption &from = items[i][hull[k - 1]], &to = items[i][hull[k]];
      steps.push_back({i, hull[k], to.bytes - from.bytes, from.loss - to.loss});
    }
  }
  std::stable_sort(steps.begin(), steps.end(),
                   [](const Step& a, const Step& b) { return a.rate() > b.rate(); });
  return steps;
}

double loss_of(const std::vector<AllocationItem>& items, const std::vector<size_t>& chosen) {
  double sum = 0;
  for (size_t i = 0; i < items.size(); ++i) sum += items[i][chosen[i]].loss;
  return sum;
}

void apply(const std::vector<AllocationItem>& items, size_t item, size_t option, Allocation& out) {
  out.bytes -= items[item][out.chosen[item]].bytes;
  out.bytes += items[item][option].bytes;
  out.chosen[item] = option;
}

// The single change that `gain` likes best; false if it likes none.
template <typename Gain>
bool improve(const std::vector<AllocationItem>& items, Allocation& out, const Gain& gain) {
  double best = 0;
  size_t item = 0, option = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    for (size_t k = 0; k < items[i].size(); ++k) {
      const double value = gain(items[i][out.chosen[i]], items[i][k]);
      if (value > best) {
        best = value;
        item = i;
        option = k;
      }
    }
  }
  if (best > 0) apply(items, item, option, out);
  return best > 0;
}

}  // namespace

uint64_t least_bytes(const std::vector<AllocationItem>& items) {
  uint64_t sum = 0;
  for (const AllocationItem& item : items) {
    const auto least = std::min_element(
        item.begin(), item.end(), [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
    sum += least->bytes;
  }
  return sum;
}

double least_loss(const std::vector<AllocationItem>& items) {
  double sum = 0;
  for (const AllocationItem& item : items) {
    const auto least = std::min_element(
        item.begin(), item.end(), [](const auto& a, const auto& b) { return a.loss < b.loss; });
    sum += least->loss;
  }
  return sum;
}

std::optional<Allocation> allocate_bytes(const std::vector<AllocationItem>& items,
                                         uint64_t budget) {
  Allocation out;
  const std::vector<Step> steps = steps_of(items, out);
  if (out.bytes > budget) return std::nullopt;
  double fractional = loss_of(items, out.chosen);
  bool all_fit = true;
  std::vector<bool> stopped(items.size(), false);  // a later step of its hull builds on this one
  for (const Step& step : steps) {
    const uint64_t room = budget - out.bytes;
    if (!stopped[step.item] && step.bytes <= room) {
      apply(items, step.item, step.to, out);
      if (all_fit) fractional -= step.saved;
      continue;
    }
    stopped[step.item] = true;
    if (all_fit) fractional -= step.rate() * static_cast<double>(room);
    all_fit = false;
  }
  while (improve(items, out, [&](const AllocationOption& now, const AllocationOption& other) {
    return out.bytes - now.bytes + other.bytes <= budget ? now.loss - other.loss : 0.0;
  })) {
  }
  out.loss = loss_of(items, out.chosen);
  out.gap = all_fit ? 0.0 : std::max(0.0, out.loss - fractional);
  return out;
}

std::optional<Allocation> allocate_loss(const std::vector<AllocationItem>& items, double most) {
  Allocation out;
  const std::vector<Step> steps = steps_of(items, out);
  double fractional = static_cast<double>(out.bytes);
  for (const Step& step : steps) {
    const double missing = loss_of(items, out.chosen) - most;
    if (missing <= 0) break;
    fractional += static_cast<double>(step.bytes) * std::min(1.0, missing / step.saved);
    apply(items, step.item, step.to, out);
  }
  out.loss = loss_of(items, out.chosen);
  if (out.loss > most) return std::nullopt;
  while (improve(items, out, [&](const AllocationOption& now, const AllocationOption& other) {
    if (other.bytes >= now.bytes || out.loss - now.loss + other.loss > most) return 0.0;
    return static_cast<double>(now.bytes - other.bytes);
  })) {
    out.loss = loss_of(items, out.chosen);
  }
  out.gap = std::max(0.0, static_cast<double>(out.bytes) - fractional);
  return out;
}

}  // namespace sluice::quantize
