#include "tools/bench/lane.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/check.h"

namespace sluice::tools {
namespace {

using Clock = std::chrono::steady_clock;

// Tokens that an answer makes before it is timed: the prompt's own, and one of a first step in
// which threads wake up and drafts begin.
constexpr int64_t kUntimedTokens = 2;

// Counts what an answer is given.
class Counter : public runtime::Listener {
 public:
  void on_start(int64_t known) override { cached = known; }
  void on_token(const runtime::TokenEvent&) override { ++tokens; }
  void on_finish(const runtime::RequestReport& finished) override {
    report = finished;
    done = true;
  }

  int64_t tokens = 0, cached = 0;
  bool done = false;
  runtime::RequestReport report;
};

runtime::Request greedy(std::vector<runtime::TokenId> prompt, int64_t max_tokens) {
  runtime::Request request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0;
  request.max_tokens = max_tokens;
  request.ignore_eos = true;
  request.reuse_answers = false;
  return request;
}

}  // namespace

Result<std::unique_ptr<Lane>> Lane::create(const model::TextModel& model,
                                           const runtime::EngineShape& shape,
                                           Interrupted interrupted) {
  std::unique_ptr<Lane> lane(new Lane(model, std::move(interrupted)));
  SLUICE_ASSIGN(lane->engine_, runtime::Engine::create(model, nullptr, shape));
  return lane;
}

runtime::EngineShape Lane::answer_shape(const model::Binding& binding, ops::KvFormat kv,
                                        int64_t answers, int64_t context, int64_t steps, int drafts,
                                        int64_t states) {
  // Answers may begin some steps after each other.
  constexpr int64_t kSpareSteps = 8;
  runtime::EngineShape shape;
  shape.kv = kv;
  shape.sequences = answers;
  shape.draft_depth = drafts;
  const int64_t tokens = context + 1 + kUntimedTokens + (steps + kSpareSteps) * (1 + drafts);
  shape.context = (tokens + ops::kGrid - 1) / ops::kGrid * ops::kGrid;
  shape.prompt_rows = std::min<int64_t>(context, shape.prompt_rows);
  // With a draft head that is loaded pages are as large as if it were used.
  const bool with_mtp = binding.mtp_usable;
  const size_t page = model::TextModel::kv_spec(binding, with_mtp, 1, kv).bytes_per_page();
  const uint64_t state = runtime::CacheShape::least_bytes(binding.config, page, with_mtp) - page;
  shape.prefix_cache =
      static_cast<uint64_t>(states) * (state + runtime::CacheShape::kPagesPerState * page);
  return shape;
}

// The multiplier and increment of Knuth's MMIX generator; the upper bits are good enough.
std::vector<runtime::TokenId> Lane::random_tokens(int64_t count) {
  std::vector<runtime::TokenId> tokens(static_cast<size_t>(count));
  for (runtime::TokenId& token : tokens) {
    random_ = random_ * 6364136223846793005u + 1442695040888963407u;
    token = static_cast<runtime::TokenId>((random_ >> 33) %
                                          static_cast<uint64_t>(model_.config().vocabulary));
  }
  return tokens;
}

Status Lane::step() {
  if (interrupted_ && interrupted_())
    return Error{ErrorCode::kInterrupted, "bench", "interrupted", {}};
  SLUICE_CHECK(engine_->step(), "the engine has nothing to do");
  return {};
}

Status Lane::run_to_end(const runtime::Request& request) {
  Counter counter;
  SLUICE_ASSIGN(const runtime::RequestId id, engine_->submit(request, counter));
  while (!counter.done) {
    if (const Status stepped = step(); !stepped.ok()) {
      engine_->cancel(id);
      engine_->run_until_idle();
      return stepped;
    }
  }
  return {};
}

Result<double> Lane::read_prompt(int64_t length) {
  const runtime::Request request = greedy(random_tokens(length), 1);
  const Clock::time_point start = Clock::now();
  SLUICE_TRY(run_to_end(request));
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// One token more than the length: the part on the grid is what the prefix cache keeps.
runtime::Request Lane::behind(int64_t length, int64_t max_tokens) {
  SLUICE_CHECK(length > 0 && length % ops::kGrid == 0, "context {}", length);
  while (static_cast<int64_t>(context_.size()) <= length) {
    const auto more = random_tokens(ops::kGrid);
    context_.insert(context_.end(), more.begin(), more.end());
  }
  runtime::Request request = greedy({context_.begin(), context_.begin() + length + 1}, max_tokens);
  request.borders = {length};
  return request;
}

Status Lane::read_context(int64_t context) {
  SLUICE_TRY(run_to_end(behind(context, 1)));
  known_ = std::max(known_, context);
  return {};
}

Result<Lane::Decoded> Lane::decode(int64_t answers, int64_t context, int64_t steps,
                                   const std::function<void()>& begin,
                                   const std::function<void()>& end) {
  const runtime::Request request = behind(context, -1);
  std::vector<Counter> counters(static_cast<size_t>(answers));
  std::vector<runtime::RequestId> ids;
  Decoded decoded;
  const auto run = [&]() -> Status {
    for (Counter& counter : counters) {
      SLUICE_ASSIGN(const runtime::RequestId id, engine_->submit(request, counter));
      ids.push_back(id);
    }
    const auto fewest = [&] {
      return std::min_element(
                 counters.begin(), counters.end(),
                 [](const Counter& a, const Counter& b) { return a.tokens < b.tokens; })
          ->tokens;
    };
    const auto all = [&] {
      int64_t tokens = 0;
      for (const Counter& counter : counters) tokens += counter.tokens;
      return tokens;
    };
    SLUICE_TRY(step());
    if (context <= known_ && counters.front().cached != context)
      return failed("bench", fmt::format("of a context of {} tokens only {} were kept", context,
                                         counters.front().cached));
    while (fewest() < kUntimedTokens) SLUICE_TRY(step());
    const int64_t before = all();
    if (begin) begin();
    const Clock::time_point start = Clock::now();
    for (int64_t i = 0; i < steps; ++i) SLUICE_TRY(step());
    decoded.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (end) end();
    decoded.steps = steps;
    decoded.tokens = all() - before;
    return {};
  };
  const Status done = run();
  for (const Counter& counter : counters)
    SLUICE_CHECK(!counter.done || !done.ok(), "an answer ended while it was timed");
  for (const runtime::RequestId id : ids) engine_->cancel(id);
  engine_->run_until_idle();
  SLUICE_TRY(done);
  known_ = std::max(known_, context);
  for (const Counter& counter : counters) {
    const runtime::DraftCounts& draft = counter.report.draft;
    decoded.proposed.resize(std::max(decoded.proposed.size(), draft.proposed.size()));
    decoded.accepted.resize(decoded.proposed.size());
    for (size_t i = 0; i < draft.proposed.size(); ++i) {
      decoded.proposed[i] += draft.proposed[i];
      decoded.accepted[i] += draft.accepted[i];
    }
  }
  return decoded;
}

}  // namespace sluice::tools
