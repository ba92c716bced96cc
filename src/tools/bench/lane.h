// An engine of one shape, driven as `generate` and `serve` drive it: requests go in at
// runtime/engine.h, steps are timed from outside.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "model/text/text_model.h"
#include "runtime/engine.h"

namespace sluice::tools {

// Says between two steps whether the run is to end.
using Interrupted = std::function<bool()>;

class Lane {
 public:
  // `model` must outlive the lane.
  static Result<std::unique_ptr<Lane>> create(const model::TextModel& model,
                                              const runtime::EngineShape& shape,
                                              Interrupted interrupted);

  // Reads a prompt that nobody has read before, of random tokens, up to its first token: seconds.
  Result<double> read_prompt(int64_t length);

  struct Decoded {
    double seconds = 0;  // of all timed steps
    int64_t steps = 0, tokens = 0;
    std::vector<int64_t> proposed, accepted;  // by draft position
  };
  // `answers` at once behind the same `context` tokens (a multiple of the grid), greedy: the steps
  // after the second token of each are timed. Where read_context() was not called before, the
  // context is read now. `begin` and `end` are called around the timed steps.
  Result<Decoded> decode(int64_t answers, int64_t context, int64_t steps,
                         const std::function<void()>& begin = nullptr,
                         const std::function<void()>& end = nullptr);

  // Reads what decode() stands behind: later runs find it in the prefix cache, which the shape must
  // have room in.
  Status read_context(int64_t context);
  // Whether so many tokens were read already.
  bool knows(int64_t context) const { return context <= known_; }

  // A shape for decode(): `states` contexts, the longest of `context` tokens.
  static runtime::EngineShape answer_shape(const model::Binding& binding, ops::KvFormat kv,
                                           int64_t answers, int64_t context, int64_t steps,
                                           int drafts, int64_t states);

 private:
  Lane(const model::TextModel& model, Interrupted interrupted)
      : model_(model), interrupted_(std::move(interrupted)) {}
  std::vector<runtime::TokenId> random_tokens(int64_t count);
  runtime::Request behind(int64_t length, int64_t max_tokens);
  Status step();
  Status run_to_end(const runtime::Request& request);

  const model::TextModel& model_;
  Interrupted interrupted_;
  std::unique_ptr<runtime::Engine> engine_;
  std::vector<runtime::TokenId> context_;  // the answers' prompt
  int64_t known_ = 0;
  uint64_t random_ = 1;
};

}  // namespace sluice::tools
