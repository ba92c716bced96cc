// Detects that a stream of tokens repeats itself (spec/serving-reasoning.md 2.6, "Loop breaker").
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

namespace sluice::runtime {

using TokenId = int32_t;

struct LoopThresholds {
  int64_t max_period = 2048;  // exact: periods 1 .. max_period
  int64_t min_repeats = 4;    // exact: at least so many repeats of the period
  int64_t min_length = 256;   // exact: and at least so many tokens
  int64_t window = 2048;      // near: of the last `window` tokens
  double near_share = 0.85;   //   this share lies in n-grams
  int64_t gram = 16;          //   of this length
  int64_t gram_repeats = 3;   //   seen at least so often before
  int64_t confirm =
      128;  // an alarm counts if it still holds so many tokens (or one more period) later
};

class LoopDetector {
 public:
  explicit LoopDetector(const LoopThresholds& thresholds);

  // Takes the next token. Costs max_period comparisons.
  void push(TokenId token);
  void reset();

  bool alarm() const { return exact_period_.has_value() || near_; }  // holds at this token
  bool confirmed() const { return confirmed_; }                      // held long enough

 private:
  void update_exact();
  void update_near();

  LoopThresholds thresholds_;
  std::vector<TokenId> tokens_;
  std::vector<int64_t> run_;  // run_[p - 1]: how many tokens in a row equal the one p before
  std::unordered_map<uint64_t, int64_t> grams_;
  std::vector<bool> covered_;  // token lies in an n-gram seen often enough before
  int64_t covered_in_window_ = 0;
  std::optional<int64_t> exact_period_;
  bool near_ = false;
  std::optional<int64_t> alarm_since_;
  bool confirmed_ = false;
};

}  // namespace sluice::runtime
