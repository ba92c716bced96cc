// Perplexity of a text, divergence from other distributions, and draft acceptance under teacher
// forcing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "model/text/text_model.h"
#include "tools/eval/distribution_file.h"

namespace sluice::tools {

// The text is cut into windows of `context` tokens without overlap. `kSecondHalf` scores the rows
// that predict tokens context/2 + 1 .. context - 1 of whole windows, as llama.cpp's tool does;
// `kAll` all tokens but each window's first, a shorter last window included.
enum class ScoredRows { kSecondHalf, kAll };

struct WindowPlan {
  int64_t context = 0, first_scored = 0;
  std::vector<std::span<const int32_t>> windows;
};
Result<WindowPlan> cut_windows(std::span<const int32_t> tokens, int64_t context, ScoredRows scored);

// Runs windows through one model. Rows come block by block, so that two models can be compared
// without keeping either.
class WindowRunner {
 public:
  static Result<std::unique_ptr<WindowRunner>> create(const model::TextModel& model,
                                                      int64_t context, ops::KvFormat kv,
                                                      int mtp_depth);
  ~WindowRunner();
  // What it takes, a block of rows included, that the memory plan of one sequence of this context
  // does not count.
  static uint64_t bytes_beside_plan(const model::TextConfig& config, int64_t context,
                                    int mtp_depth);

  // Log-probabilities of consecutive scored positions; row i is the distribution of token
  // first_position + i + 1.
  struct Rows {
    int64_t first_position = 0, count = 0;
    std::vector<float> log_probabilities;  // [count, vocabulary]
  };

  // Starts a window: rows for positions first_scored .. size - 2 follow from next().
  void begin(std::span<const int32_t> window, int64_t first_scored);
  // The next block of rows (at most 16, cut the same way for every model); false at the window's
  // end.
  bool next(Rows& rows);

  // Greedy drafts of the scored slots against the model's own greedy choice on the text: counts by
  // draft position; a draft counts as accepted if it and all before it in its chain match.
  const std::vector<int64_t>& drafts_proposed() const;
  const std::vector<int64_t>& drafts_accepted() const;

 private:
  WindowRunner();
  struct State;
  std::unique_ptr<State> state_;
};

struct Perplexity {
  int64_t tokens = 0;
  double nll = 0, ppl = 0, ppl_stderr = 0;  // nll: mean per scored token, natural logarithm
};

struct Divergence {
  double mean = 0, standard_error = 0, median = 0, p99 = 0, p99_9 = 0, maximum = 0;
  double same_top = 0;  // share of rows with the same most likely token
  double rms_dp = 0;    // root mean square difference of the probability of the text's token
};

// Sums of negative log-likelihoods.
class PerplexitySum {
 public:
  void add(double nll);
  Perplexity result() const;

 private:
  int64_t count_ = 0;
  double sum_ = 0, squares_ = 0;
};

// Kullback-Leibler divergence of `ours` from `base`, row by row.
class DivergenceSum {
 public:
  void add(std::span<const float> base, std::span<const float> ours, int32_t token);
  Divergence result() const;

 private:
  std::vector<double> values_;
  int64_t same_top_ = 0;
  double squared_dp_ = 0;
};

}  // namespace sluice::tools
