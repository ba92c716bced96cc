// An engine that keeps answers to a grammar: the same bytes at every draft depth and in company,
// and nothing that the grammar forbids, neither drawn nor proposed.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "runtime/engine.h"
#include "runtime/golden_model.h"
#include "support/paths.h"

namespace sluice::runtime {
namespace {

using test::Answer;
using test::GoldenModel;
using test::run_one;

// A grammar that needs nothing but ids: free up to and with the token `opener` (-1: bound from the
// start); then the id, the one before it and the place must sum to a multiple of three, and after
// `length` such tokens the answer is whole.
struct Rule {
  TokenId opener = -1;
  size_t length = 20;
  size_t dead_end = 1'000;  // tokens after which none is allowed
  TokenId least = 0;        // lower ids are forbidden

  bool allows(std::span<const TokenId> before, TokenId id) const {
    const size_t bound = bound_from(before);
    if (bound > before.size()) return true;
    if (before.size() >= dead_end || id < least) return false;
    const TokenId last = before.empty() ? 0 : before.back();
    return (id + last + static_cast<TokenId>(before.size())) % 3 == 0;
  }
  // Where the bound tokens begin; beyond the end while there are none.
  size_t bound_from(std::span<const TokenId> tokens) const {
    if (opener < 0) return 0;
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (tokens[i] == opener) return i + 1;
    }
    return tokens.size() + 1;
  }
  bool complete(std::span<const TokenId> tokens) const {
    return tokens.size() >= bound_from(tokens) + length;
  }
};

class RuleMask final : public TokenMask {
 public:
  RuleMask(Rule rule, int64_t vocabulary) : rule_(rule), vocabulary_(vocabulary) {}
  bool binds() const override { return rule_.bound_from(taken_) <= taken_.size(); }
  void fill(std::span<uint64_t> allowed) override {
    std::fill(allowed.begin(), allowed.end(), 0);
    for (TokenId id = 0; id < vocabulary_; ++id) {
      if (rule_.allows(taken_, id))
        allowed[static_cast<size_t>(id) / 64] |= uint64_t{1} << (static_cast<size_t>(id) % 64);
    }
  }
  bool accept(TokenId token) override {
    if (!rule_.allows(taken_, token)) return false;
    taken_.push_back(token);
    return true;
  }
  bool complete() const override { return rule_.complete(taken_); }
  size_t position() const override { return taken_.size(); }
  void rollback(size_t position) override {
    ASSERT_LE(position, taken_.size());
    taken_.resize(position);
  }

 private:
  const Rule rule_;
  const int64_t vocabulary_;
  std::vector<TokenId> taken_;
};

class RuleGrammar final : public TokenGrammar {
 public:
  RuleGrammar(Rule rule, int64_t vocabulary) : rule_(rule), vocabulary_(vocabulary) {}
  std::unique_ptr<TokenMask> begin() const override {
    return std::make_unique<RuleMask>(rule_, vocabulary_);
  }

 private:
  const Rule rule_;
  const int64_t vocabulary_;
};

EngineShape shape(int depth, int64_t sequences = 1) {
  EngineShape result;
  result.context = 512;
  result.sequences = sequences;
  result.draft_depth = depth;
  result.kv = ops::KvFormat::kF32;
  return result;
}

class ConstrainedEngine : public testing::TestWithParam<std::string> {
 protected:
  GoldenModel& model() {
    static std::map<std::string, std::unique_ptr<GoldenModel>> loaded;
    auto& entry = loaded[GetParam()];
    if (!entry)
      entry = std::make_unique<GoldenModel>(test::tests_folder() / "model" / "data" / "tiny",
                                            backend::BackendOptions{GetParam(), 1, std::nullopt});
    return *entry;
  }
  int64_t vocabulary() { return model().model->config().vocabulary; }

  Request request(Rule rule, double temperature, unsigned seed = 3) {
    Request result;
    std::mt19937 random(seed);
    for (unsigned i = 0; i < 10 + 9 * seed; ++i)
      result.prompt.push_back(static_cast<TokenId>(random() % static_cast<unsigned>(vocabulary())));
    result.max_tokens = 60;
    result.sampling.temperature = temperature;
    result.sampling.seed = seed;
    result.ignore_eos = true;
    result.grammar = std::make_shared<RuleGrammar>(rule, vocabulary());
    return result;
  }
};

void expect_kept(const Rule& rule, const Answer& answer, size_t prompt_length,
                 const std::string& where) {
  for (size_t i = 0; i < answer.ids.size(); ++i)
    EXPECT_TRUE(rule.allows(std::span(answer.ids).first(i), answer.ids[i])) << where << " " << i;
  EXPECT_TRUE(rule.complete(answer.ids)) << where;
  EXPECT_FALSE(rule.complete(std::span(answer.ids).first(answer.ids.size() - 1))) << where;
  EXPECT_EQ(answer.report.finish, FinishReason::kStop) << where;
  EXPECT_FALSE(answer.report.stop_id) << where;
  for (const std::vector<int32_t>& round : answer.drafts) {
    std::vector<TokenId> tokens(
        answer.ids.begin(), answer.ids.begin() + round[0] - static_cast<int64_t>(prompt_length));
    for (size_t i = 1; i < round.size(); ++i) {
      EXPECT_FALSE(rule.complete(tokens)) << where << ": a draft behind the end";
      EXPECT_TRUE(rule.allows(tokens, round[i])) << where << ": a draft that cannot hold";
      tokens.push_back(round[i]);
    }
  }
}

TEST_P(ConstrainedEngine, DraftsNeverChangeAnAnswer) {
  const Rule rule;
  for (const double temperature : {0.0, 0.9}) {
    const Request what = request(rule, temperature);
    std::vector<TokenId> plain;
    for (const int depth : {0, 1, 2, 5, 8}) {
      const auto engine = model().engine(shape(depth));
      const Answer answer = run_one(*engine, what);
      if (depth == 0) plain = answer.ids;
      EXPECT_EQ(answer.ids, plain) << "depth " << depth << " temperature " << temperature;
      expect_kept(rule, answer, what.prompt.size(), "depth " + std::to_string(depth));
      if (depth == 0) continue;
      EXPECT_GT(answer.report.draft.proposed[0], 0);
    }
  }
}

// Only what the grammar allows of a part of the vocabulary is proposed.
TEST_P(ConstrainedEngine, DraftVocabulariesNeverChangeAnAnswer) {
  const Rule rule;
  for (const double temperature : {0.0, 0.9}) {
    const Request what = request(rule, temperature);
    const std::vector<TokenId> plain = run_one(*model().engine(shape(0)), what).ids;
    for (const int64_t rows : {64, 192}) {
      EngineShape wanted = shape(3);
      wanted.draft_rows = rows;
      const Answer answer = run_one(*model().engine(wanted), what);
      EXPECT_EQ(answer.ids, plain) << rows << " rows, temperature " << temperature;
      expect_kept(rule, answer, what.prompt.size(), std::to_string(rows) + " rows");
      for (const std::vector<int32_t>& round : answer.drafts) {
        for (size_t i = 1; i < round.size(); ++i) EXPECT_LT(round[i], rows);
      }
    }
  }
}

TEST_P(ConstrainedEngine, APartWithoutAnAllowedTokenProposesNone) {
  const Rule rule{.least = 128};
  const Request what = request(rule, 0.9);
  const Answer plain = run_one(*model().engine(shape(0)), what);
  EngineShape wanted = shape(3);
  wanted.draft_rows = 128;
  const Answer answer = run_one(*model().engine(wanted), what);
  EXPECT_EQ(answer.ids, plain.ids);
  EXPECT_TRUE(answer.drafts.empty());
  expect_kept(rule, answer, what.prompt.size(), "least 128");
}

// The grammar begins in the middle of a step: drafts before it are free, those behind it bound.
TEST_P(ConstrainedEngine, BindsFromATokenOn) {
  for (const double temperature : {0.0, 1.0}) {
    Request free = request({}, temperature);
    free.grammar = nullptr;
    const Answer unbound = run_one(*model().engine(shape(0)), free);
    const Rule rule{.opener = unbound.ids[9], .length = 12};
    const Request what = request(rule, temperature);
    std::vector<TokenId> plain;
    for (const int depth : {0, 1, 3}) {
      const Answer answer = run_one(*model().engine(shape(depth)), what);
      if (depth == 0) plain = answer.ids;
      EXPECT_EQ(answer.ids, plain) << "depth " << depth;
      expect_kept(rule, answer, what.prompt.size(), "depth " + std::to_string(depth));
    }
    const auto opened = static_cast<int64_t>(rule.bound_from(plain));
    EXPECT_TRUE(std::equal(plain.begin(), plain.begin() + opened, unbound.ids.begin()));
  }
}

// A thought's budget forces its closer, and the grammar begins behind it.
TEST_P(ConstrainedEngine, BeginsBehindAForcedThought) {
  const TokenId think = 7, close = 8, line = 9;
  const Rule rule{.opener = close, .length = 12};
  Request what = request(rule, 0.8);
  what.prompt.push_back(think);
  ThoughtOptions thought;
  thought.open = think;
  thought.close = close;
  thought.closing = {line, close};
  thought.budget = 6;
  thought.break_loops = false;
  what.thought = thought;
  what.sampling.logit_bias = {{close, -100.0f}};
  std::vector<TokenId> plain;
  for (const int depth : {0, 2, 5}) {
    const Answer answer = run_one(*model().engine(shape(depth)), what);
    if (depth == 0) plain = answer.ids;
    EXPECT_EQ(answer.ids, plain) << "depth " << depth;
    // Six tokens of thought, what an unfinished character still needs, the two that are forced.
    EXPECT_GE(rule.bound_from(answer.ids), 8u);
    EXPECT_LE(rule.bound_from(answer.ids), 11u);
    EXPECT_EQ(answer.report.thought_stop, "budget");
    expect_kept(rule, answer, what.prompt.size(), "depth " + std::to_string(depth));
  }
}

TEST_P(ConstrainedEngine, CompanyNeverChangesAnAnswer) {
  std::vector<Request> requests;
  for (unsigned i = 0; i < 6; ++i) {
    Request what = request({.length = 8 + 3 * i}, i % 2 == 0 ? 0.0 : 0.8, i);
    what.sampling.logprobs = i == 3 ? 4 : -1;
    if (i % 3 == 2) what.grammar = nullptr;
    requests.push_back(what);
  }
  for (const int depth : {0, 2}) {
    std::vector<Answer> alone;
    const auto single = model().engine(shape(depth));
    for (const Request& what : requests) alone.push_back(run_one(*single, what));
    const auto engine = model().engine(shape(depth, 4));
    std::vector<Answer> together(requests.size());
    for (size_t i = 0; i < requests.size(); ++i)
      ASSERT_TRUE(engine->submit(requests[i], together[i]).ok());
    engine->run_until_idle();
    for (size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(together[i].ids, alone[i].ids) << "request " << i << " depth " << depth;
      for (size_t t = 0; t < alone[i].tokens.size(); ++t) {
        EXPECT_EQ(together[i].tokens[t].logprob, alone[i].tokens[t].logprob);
        EXPECT_EQ(together[i].tokens[t].top.size(), alone[i].tokens[t].top.size());
      }
    }
    EXPECT_TRUE(engine->intact());
  }
}

TEST_P(ConstrainedEngine, EndsWhereItMust) {
  const auto engine = model().engine(shape(3));
  Request short_one = request({.length = 5}, 0.0);
  short_one.sampling.min_tokens = 30;
  EXPECT_EQ(run_one(*engine, short_one).ids.size(), 5u) << "a whole answer, whatever min_tokens";
  Request cut = request({.length = 50}, 0.0);
  cut.max_tokens = 10;
  const Answer answer = run_one(*engine, cut);
  EXPECT_EQ(answer.ids.size(), 10u);
  EXPECT_EQ(answer.report.finish, FinishReason::kLength);
  // A grammar that the vocabulary cannot write: the answer ends instead of going on with anything.
  Request impossible = cut;
  impossible.grammar = std::make_shared<RuleGrammar>(Rule{}, 0);
  EXPECT_TRUE(run_one(*engine, impossible).ids.empty());
  for (const int depth : {0, 3}) {
    EngineShape keeping = shape(depth);
    keeping.prefix_cache = 4 << 20;  // what is kept of the answer includes the head's rows
    EXPECT_EQ(run_one(*model().engine(keeping), request({.dead_end = 7}, 0.0)).ids.size(), 7u);
  }
}

TEST_P(ConstrainedEngine, ForbiddenIdsAreNotDrawnAtAnyDepth) {
  Request free = request({}, 0.0);
  free.grammar = nullptr;
  const Answer unbound = run_one(*model().engine(shape(0)), free);
  free.sampling.forbidden_ids = {unbound.ids[0], unbound.ids[4]};
  const Answer plain = run_one(*model().engine(shape(0)), free);
  const Answer drafted = run_one(*model().engine(shape(3)), free);
  EXPECT_EQ(plain.ids, drafted.ids);
  for (const TokenId id : free.sampling.forbidden_ids)
    EXPECT_EQ(std::count(plain.ids.begin(), plain.ids.end(), id), 0);
}

// Depths that move with the clock: the same bytes, whatever it says.
TEST_P(ConstrainedEngine, AdaptiveDepthsNeverChangeAnAnswer) {
  for (const bool grammar : {false, true}) {
    Request what = request({.length = 40}, 0.9);
    if (!grammar) what.grammar = nullptr;
    const std::vector<TokenId> plain = run_one(*model().engine(shape(0)), what).ids;
    EngineShape adaptive = shape(4);
    adaptive.adaptive_depth = true;
    // A clock by which a step's time has nothing to do with its rows, and one that stands still.
    for (const double tick : {0.0, 1.0}) {
      double now = 0;
      std::mt19937 random(7);
      const auto engine = Engine::create(*model().model, model().tokenizer.get(), adaptive,
                                         [&] { return now += tick * (1 + random() % 5); });
      ASSERT_TRUE(engine.ok());
      const Answer answer = run_one(**engine, what);
      EXPECT_EQ(answer.ids, plain) << "tick " << tick;
      EXPECT_EQ(answer.drafts.empty(), tick == 0) << "without a cost nothing is drafted";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, ConstrainedEngine, testing::ValuesIn(backend::built_backends()),
                         [](const auto& backend) { return backend.param; });

}  // namespace
}  // namespace sluice::runtime
