// The promises of the prefix cache on a whole model: what was read is not read again, and no bit
// shows it.
#include "runtime/cache/prefix_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "runtime/cached_engine.h"
#include "runtime/engine.h"
#include "runtime/golden_model.h"

namespace sluice::runtime {
namespace {

using test::Answer;
using test::append;
using test::expect_same;
using test::Ids;
using test::kAmpleCache;
using test::run_one;

class PrefixCacheOn : public test::CachedEngine {
 protected:
  std::unique_ptr<Engine> engine(uint64_t prefix_cache, int depth = 0, int64_t sequences = 1,
                                 int64_t prompt_rows = 512) {
    EngineShape shape;
    shape.context = 768;
    shape.sequences = sequences;
    shape.draft_depth = depth;
    shape.prompt_rows = prompt_rows;
    shape.kv = ops::KvFormat::kF32;
    shape.prefix_cache = prefix_cache;
    return model().engine(shape);
  }
};

TEST_P(PrefixCacheOn, RandomConversationsGiveTheBytesOfAColdStart) {
  for (const int depth : {0, 2}) {
    for (const bool ample : {true, false}) {
      const auto cached = engine(ample ? budget(40, 80, depth) : budget(2, 1, depth), depth);
      const auto cold = engine(0, depth);
      std::vector<Ids> texts = {{}};
      int64_t saved = 0;
      for (int round = 0; round < (ample ? 14 : 5); ++round) {
        // With next to no room only the latest can be known.
        Ids prompt = ample ? texts[below(texts.size())] : texts.back();
        prompt.resize(std::min<size_t>(prompt.size(), ample ? below(600) : 500));
        append(prompt, random_ids(1 + below(130)));
        Request what = request(prompt, 1 + static_cast<int64_t>(below(8)));
        what.sampling.temperature = round % 3 == 0 ? 0.8 : 0;
        for (size_t at = below(100); at <= prompt.size(); at += 1 + below(200))
          what.borders.push_back(static_cast<int64_t>(at));
        const Answer answer = run_one(*cached, what);
        expect_same(answer, run_one(*cold, what),
                    "depth " + std::to_string(depth) + " round " + std::to_string(round) + " of " +
                        std::to_string(prompt.size()) + " tokens, cached " +
                        std::to_string(answer.report.cached_tokens));
        EXPECT_EQ(answer.report.cached_tokens % 64, 0);
        EXPECT_EQ(answer.report.cached_answer_tokens, 0);
        saved += answer.report.cached_tokens;
        append(prompt, answer.ids);
        texts.push_back(prompt);
      }
      EXPECT_GT(saved, ample ? 500 : 0) << "depth " << depth;
    }
  }
}

TEST_P(PrefixCacheOn, ATurnReadsTheNewTokensAndAtMost63Before) {
  for (const int depth : {0, 2}) {
    const auto cached = engine(kAmpleCache, depth);
    Ids conversation = random_ids(150);
    int64_t before = 0;
    for (int turn = 0; turn < 9; ++turn) {
      Request what = request(conversation, 5 + turn);
      what.borders = {static_cast<int64_t>(conversation.size()) - 4};
      const Answer answer = run_one(*cached, what);
      const auto length = static_cast<int64_t>(conversation.size());
      EXPECT_LE(length - answer.report.cached_tokens, length - before + 63) << "turn " << turn;
      EXPECT_EQ(answer.report.recomputed_tokens, before - answer.report.cached_tokens) << turn;
      before = length;
      append(conversation, answer.ids);
      append(conversation, random_ids(1 + below(50)));
    }
  }
}

TEST_P(PrefixCacheOn, AnAnswerThatComesBackIsNotReadAgain) {
  std::vector<Ids> first;
  for (const int depth : {0, 3}) {
    random_.seed(5);
    const auto cached = engine(kAmpleCache, depth);
    Ids conversation = random_ids(90);
    int64_t before = 0, prompt_before = 0;
    std::vector<Ids> answers;
    for (int turn = 0; turn < 9; ++turn) {
      const Answer answer = run_one(*cached, request(conversation, 3 + 7 * turn % 40, true));
      // All but the last token of the answer, which was sampled and never fed.
      EXPECT_EQ(answer.report.cached_tokens, turn == 0 ? 0 : before - 1) << "turn " << turn;
      EXPECT_EQ(answer.report.recomputed_tokens, 0);
      if (turn > 0) {
        EXPECT_GE(answer.report.cached_answer_tokens, before - 1 - prompt_before);
      }
      answers.push_back(answer.ids);
      prompt_before = static_cast<int64_t>(conversation.size());
      append(conversation, answer.ids);
      before = static_cast<int64_t>(conversation.size());
      append(conversation, random_ids(1 + below(40)));
    }
    // Drafts change nothing here either.
    if (depth == 0) first = answers;
    EXPECT_EQ(answers, first) << "depth " << depth;
  }
}

// Two ways of the same conversation: both continue what the common part left.
TEST_P(PrefixCacheOn, AnAnswerCanBeContinuedTwice) {
  const auto cached = engine(kAmpleCache, 2, 2);
  Ids conversation = random_ids(100);
  const Answer answer = run_one(*cached, request(conversation, 20, true));
  append(conversation, answer.ids);
  const auto before = static_cast<int64_t>(conversation.size());
  Ids one = conversation, two = conversation;
  append(one, random_ids(30));
  append(two, random_ids(70));
  const Answer one_alone = run_one(*cached, request(one, 20, true));
  EXPECT_EQ(one_alone.report.cached_tokens, before - 1);
  Answer together_one, together_two;
  ASSERT_TRUE(cached->submit(request(one, 20, true), together_one).ok());
  ASSERT_TRUE(cached->submit(request(two, 20, true), together_two).ok());
  cached->run_until_idle();
  EXPECT_TRUE(cached->intact());
  expect_same(together_one, one_alone, "the first way");
  EXPECT_EQ(together_two.report.cached_tokens, before - 1);
  expect_same(run_one(*cached, request(two, 20, true)), together_two, "the second way");
}

// With --reuse-answers off nothing that an answer left may be seen.
TEST_P(PrefixCacheOn, AnswersAreReadAnewWhenAskedFor) {
  const auto cached = engine(kAmpleCache, 2), cold = engine(0, 2);
  Ids conversation = random_ids(100);
  for (int turn = 0; turn < 4; ++turn) {
    const Answer kept = run_one(*cached, request(conversation, 30, true));
    append(conversation, kept.ids);
    append(conversation, random_ids(20));
    const Request what = request(conversation, 10, false);
    const Answer answer = run_one(*cached, what);
    EXPECT_EQ(answer.report.cached_answer_tokens, 0);
    expect_same(answer, run_one(*cold, what), "turn " + std::to_string(turn));
  }
}

TEST_P(PrefixCacheOn, TheSamePromptAtOnceIsReadOnce) {
  const auto cached = engine(kAmpleCache, 2, 4, 128), cold = engine(0, 2);
  Request what = request(random_ids(500), 12);
  const Answer expected = run_one(*cold, what);
  std::vector<Answer> answers(4);
  for (Answer& answer : answers) ASSERT_TRUE(cached->submit(what, answer).ok());
  cached->run_until_idle();
  EXPECT_TRUE(cached->intact());
  int64_t read = 0;
  for (const Answer& answer : answers) {
    expect_same(answer, expected, "one of four");
    read += 500 - answer.report.cached_tokens;
  }
  EXPECT_LE(read, 500 + 3 * 63);
}

class StopAfter : public Answer {
 public:
  void on_prompt(int64_t done, int64_t) override {
    if (in_prompt && done > 0) engine->cancel(id);
  }
  void on_token(const TokenEvent& event) override {
    Answer::on_token(event);
    if (ids.size() == 5) engine->cancel(id);
  }
  Engine* engine = nullptr;
  RequestId id = 0;
  bool in_prompt = false;
};

TEST_P(PrefixCacheOn, WhatWasCancelledIsKeptAsFarAsItCame) {
  const auto cached = engine(kAmpleCache, 2, 1, 128), cold = engine(0, 2);
  const Request what = request(random_ids(600), 20, true);
  const Answer expected = run_one(*cold, what);
  const auto stopped = [&](const Request& asked, bool in_prompt) {
    StopAfter answer;
    answer.engine = cached.get();
    answer.in_prompt = in_prompt;
    answer.id = *cached->submit(asked, answer);
    cached->run_until_idle();
    EXPECT_EQ(answer.report.finish, FinishReason::kCancelled);
    EXPECT_TRUE(cached->intact());
    return answer;
  };
  const StopAfter in_prompt = stopped(what, true);
  EXPECT_TRUE(in_prompt.ids.empty());
  const StopAfter in_answer = stopped(what, false);
  EXPECT_EQ(in_answer.report.cached_tokens, 128);
  Request onward = what;
  append(onward.prompt, in_answer.ids);
  const Answer continued = run_one(*cached, onward);
  EXPECT_EQ(continued.report.cached_tokens, 600 + static_cast<int64_t>(in_answer.ids.size()) - 1);
  Request again = what;
  again.reuse_answers = false;
  const Answer answer = run_one(*cached, again);
  EXPECT_EQ(answer.report.cached_tokens, 576);
  expect_same(answer, expected, "after two cancellations");
}

// Random schedules with company, cancellations and a cache that is far too small.
TEST_P(PrefixCacheOn, RandomSchedulesAddUpAndChangeNoBit) {
  for (const int depth : {0, 2}) {
    const auto cached = engine(budget(3, 2, depth), depth, 3, 128), cold = engine(0, depth);
    std::vector<Ids> texts = {random_ids(200), random_ids(300)};
    struct Job {
      Request what;
      Answer answer;
      RequestId id = 0;
    };
    std::vector<std::unique_ptr<Job>> jobs;
    for (int step = 0; step < 80; ++step) {
      if (jobs.size() < 12 && below(3) == 0) {
        auto job = std::make_unique<Job>();
        Ids prompt = texts[below(texts.size())];
        prompt.resize(1 + below(prompt.size()));
        append(prompt, random_ids(below(200)));
        job->what = request(prompt, 1 + static_cast<int64_t>(below(40)));
        job->what.reuse_answers = below(2) == 0;
        if (below(3) == 0) job->what.cache_space = "another";
        job->id = *cached->submit(job->what, job->answer);
        texts.push_back(prompt);
        jobs.push_back(std::move(job));
      }
      if (!jobs.empty() && below(10) == 0) cached->cancel(jobs[below(jobs.size())]->id);
      cached->step();
      ASSERT_TRUE(cached->intact()) << "step " << step;
    }
    cached->run_until_idle();
    ASSERT_TRUE(cached->intact());
    for (const auto& job : jobs) {
      ASSERT_TRUE(job->answer.finished);
      // Behind an answer the bits are that conversation's own.
      if (job->answer.report.cached_answer_tokens > 0) continue;
      Answer expected = run_one(*cold, job->what);
      if (job->answer.report.finish == FinishReason::kCancelled) {
        ASSERT_LE(job->answer.ids.size(), expected.ids.size());
        expected.ids.resize(job->answer.ids.size());
        expected.tokens.resize(job->answer.tokens.size());
        expected.drafts = job->answer.drafts;
      }
      expect_same(job->answer, expected, "depth " + std::to_string(depth));
    }
  }
}

TEST_P(PrefixCacheOn, SpacesAndPromptLogprobsSeeNothing) {
  const auto cached = engine(kAmpleCache, 0);
  Request what = request(random_ids(300), 4);
  run_one(*cached, what);
  EXPECT_EQ(run_one(*cached, what).report.cached_tokens, 256);
  Request elsewhere = what;
  elsewhere.cache_space = "somebody else's";
  EXPECT_EQ(run_one(*cached, elsewhere).report.cached_tokens, 0);
  Request scored = what;
  scored.prompt_logprobs = 0;
  EXPECT_EQ(run_one(*cached, scored).report.cached_tokens, 0);
  Request wrong = what;
  wrong.borders = {301};
  Answer answer;
  EXPECT_EQ(cached->submit(wrong, answer).error().what, "borders");
}

TEST_P(PrefixCacheOn, ABudgetBuysWhatFitsAndNoMore) {
  const auto& config = model().model->config();
  const size_t page = model().model->kv_spec(1, ops::KvFormat::kF32).bytes_per_page();
  for (const bool with_mtp : {false, true}) {
    const uint64_t least = CacheShape::least_bytes(config, page, with_mtp), state = least - page;
    EXPECT_EQ(CacheShape::of(least - 1, config, page, with_mtp).checkpoints, 0);
    EXPECT_EQ(CacheShape::of(least - 1, config, page, with_mtp).pages, 0);
    for (uint64_t bytes = least; bytes < 100 * least; bytes += least / 3) {
      const CacheShape shape = CacheShape::of(bytes, config, page, with_mtp);
      EXPECT_GE(shape.checkpoints, 1);
      EXPECT_GE(shape.pages, 1);
      const uint64_t used = static_cast<uint64_t>(shape.checkpoints) * state +
                            static_cast<uint64_t>(shape.pages) * page;
      EXPECT_LE(used, bytes);
      EXPECT_GT(used + page, bytes);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, PrefixCacheOn, testing::ValuesIn(backend::built_backends()),
                         [](const auto& backend) { return backend.param; });

}  // namespace
}  // namespace sluice::runtime
