// The likely end of a row of logits, found without sorting the vocabulary: a pass for the maxima of
// blocks says which few blocks have to be looked at again (docs/decisions/sampling-cost.md).
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "runtime/sampler/sampler.h"

namespace sluice::runtime {

// The logit of a token that must not be drawn.
inline constexpr float kMasked = -std::numeric_limits<float>::infinity();

struct Candidate {
  TokenId id;
  float logit;  // after temperature
};

// Most likely first, ties by id.
inline bool before(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

// A row and the maxima of its blocks. What is not a number, or masked (minus infinity), is no
// candidate. Borrows the row.
class LogitRow {
 public:
  explicit LogitRow(std::span<const float> logits);

  bool empty() const;          // without a candidate
  TokenId maximum() const;     // the first; 0 if there is none
  double log_sum_exp() const;  // over all

  // The `count` largest, in order; fewer if there are fewer.
  std::vector<Candidate> largest(int64_t count) const;

  // What is left of the candidates after temperature, then min-p, top-k and top-p, is drawn from
  // with u in [0, 1). Not for an empty row.
  TokenId draw(const SamplingParameters& parameters, double u) const;

 private:
  struct Scale;
  float peak() const;
  std::vector<Candidate> at_least(float threshold, const Scale& scale) const;
  float kth_block(int64_t k) const;
  TokenId draw_uncut(double top_p, const Scale& scale, double u) const;

  std::span<const float> logits_;
  std::vector<float> maxima_;
};

}  // namespace sluice::runtime
