#include "runtime/sampler/candidates.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

namespace sluice::runtime {
namespace {

constexpr size_t kBlock = 256, kLanes = 16;

// Lanes, because a compiler must not reorder the comparisons of a plain loop.
float largest_of(std::span<const float> values) {
  std::array<float, kLanes> lanes;
  lanes.fill(kMasked);
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const float value = values[i + lane];
      lanes[lane] = value > lanes[lane] ? value : lanes[lane];
    }
  }
  for (; i < values.size(); ++i) lanes[0] = values[i] > lanes[0] ? values[i] : lanes[0];
  return *std::max_element(lanes.begin(), lanes.end());
}

double weight(const Candidate& candidate, float peak) {
  return std::exp(static_cast<double>(candidate.logit) - peak);
}

double weight(std::span<const Candidate> sorted) {
  double total = 0;
  for (const Candidate& candidate : sorted) total += weight(candidate, sorted.front().logit);
  return total;
}

// Where `left` is used up, or -1.
TokenId walk(std::span<const Candidate> sorted, double left) {
  for (const Candidate& candidate : sorted) {
    left -= weight(candidate, sorted.front().logit);
    if (left < 0) return candidate.id;
  }
  return -1;
}

TokenId draw_from(std::span<const Candidate> sorted, double u) {
  const TokenId id = walk(sorted, u * weight(sorted));
  return id >= 0 ? id : sorted.back().id;
}

void cut_top_k(std::vector<Candidate>& kept, int64_t top_k) {
  if (top_k <= 0 || static_cast<size_t>(top_k) >= kept.size()) return;
  const auto kth = kept.begin() + (top_k - 1);
  std::nth_element(kept.begin(), kth, kept.end(), before);
  const float limit = kth->logit;
  std::erase_if(kept, [&](const Candidate& c) { return c.logit < limit; });
}

// vLLM's rule from below: drop while the ascending cumulative probability stays within 1 - p.
void cut_top_p(std::vector<Candidate>& sorted, double top_p) {
  if (top_p >= 1) return;
  const double droppable = (1 - top_p) * weight(sorted);
  double dropped = 0;
  while (sorted.size() > 1) {
    dropped += weight(sorted.back(), sorted.front().logit);
    if (dropped > droppable) break;
    sorted.pop_back();
  }
}

}  // namespace

// By temperature, rounded as the candidates are. Never decreasing, so that blocks are compared by
// their maxima.
struct LogitRow::Scale {
  double temperature = 1;
  float operator()(float logit) const { return static_cast<float>(logit / temperature); }
};

LogitRow::LogitRow(std::span<const float> logits) : logits_(logits) {
  maxima_.reserve(logits.size() / kBlock + 1);
  for (size_t first = 0; first < logits.size(); first += kBlock) {
    maxima_.push_back(largest_of(logits.subspan(first, std::min(kBlock, logits.size() - first))));
  }
}

float LogitRow::peak() const { return largest_of(maxima_); }

bool LogitRow::empty() const { return peak() == kMasked; }

TokenId LogitRow::maximum() const {
  if (empty()) return 0;
  const float most = peak();
  const auto block =
      static_cast<size_t>(std::find(maxima_.begin(), maxima_.end(), most) - maxima_.begin());
  const auto begin = logits_.begin() + static_cast<ptrdiff_t>(block * kBlock);
  return static_cast<TokenId>(std::find(begin, logits_.end(), most) - logits_.begin());
}

double LogitRow::log_sum_exp() const {
  const float most = peak();
  double sum = 0;
  for (const float value : logits_) sum += std::exp(static_cast<double>(value) - most);
  return most + std::log(sum);
}

// At least k candidates are as large as this: each of k blocks has one.
float LogitRow::kth_block(int64_t k) const {
  if (static_cast<size_t>(k) > maxima_.size()) return kMasked;
  std::vector<float> maxima = maxima_;
  std::nth_element(maxima.begin(), maxima.begin() + (k - 1), maxima.end(), std::greater<>());
  return maxima[static_cast<size_t>(k - 1)];
}

std::vector<Candidate> LogitRow::at_least(float threshold, const Scale& scale) const {
  std::vector<Candidate> found;
  for (size_t block = 0; block < maxima_.size(); ++block) {
    if (maxima_[block] == kMasked || scale(maxima_[block]) < threshold) continue;
    const size_t end = std::min((block + 1) * kBlock, logits_.size());
    for (size_t i = block * kBlock; i < end; ++i) {
      if (logits_[i] == kMasked) continue;
      const float logit = scale(logits_[i]);
      // Never true of what is not a number.
      if (logit >= threshold) found.push_back({static_cast<TokenId>(i), logit});
    }
  }
  return found;
}

std::vector<Candidate> LogitRow::largest(int64_t count) const {
  if (count <= 0) return {};
  std::vector<Candidate> found = at_least(kth_block(count), {});
  const auto end = found.begin() + std::min(static_cast<ptrdiff_t>(count), std::ssize(found));
  std::partial_sort(found.begin(), end, found.end(), before);
  found.erase(end, found.end());
  return found;
}

TokenId LogitRow::draw(const SamplingParameters& p, double u) const {
  const Scale scale{std::max(p.temperature, 0.01)};
  if (p.min_p <= 0 && p.top_k <= 0) return draw_uncut(p.top_p, scale, u);
  float threshold = kMasked;
  if (p.min_p > 0) threshold = static_cast<float>(scale(peak()) + std::log(p.min_p));
  if (p.top_k > 0) threshold = std::max(threshold, scale(kth_block(p.top_k)));
  std::vector<Candidate> kept = at_least(threshold, scale);
  cut_top_k(kept, p.top_k);
  std::sort(kept.begin(), kept.end(), before);
  cut_top_p(kept, p.top_p);
  return draw_from(kept, u);
}

// Every candidate has a weight here, but nearly always the draw ends among the first: only these
// are sorted.
TokenId LogitRow::draw_uncut(double top_p, const Scale& scale, double u) const {
  constexpr float kNear = 10;  // a factor of 22,000 below the likeliest
  const float most = scale(peak());
  double total = 0;
  for (const float value : logits_) {
    if (value == kMasked || std::isnan(value)) continue;
    total += std::exp(static_cast<double>(scale(value)) - most);
  }
  std::vector<Candidate> near = at_least(most - kNear, scale);
  std::sort(near.begin(), near.end(), before);
  if (top_p >= 1) {
    if (const TokenId id = walk(near, u * total); id >= 0) return id;
  } else {
    // As cut_top_p: the shortest beginning whose rest is droppable.
    const double droppable = (1 - top_p) * total;
    double rest = total;
    for (size_t i = 0; i < near.size(); ++i) {
      rest -= weight(near[i], most);
      if (rest <= droppable) return draw_from(std::span(near).first(i + 1), u);
    }
  }
  std::vector<Candidate> all = at_least(kMasked, scale);
  std::sort(all.begin(), all.end(), before);
  cut_top_p(all, top_p);
  return draw_from(all, u);
}

}  // namespace sluice::runtime
