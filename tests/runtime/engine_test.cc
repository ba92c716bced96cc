// The promises of the engine on a whole model: drafts, company, cuts and threads change no bit of
// an answer.
#include "runtime/engine.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "runtime/golden_model.h"
#include "support/paths.h"

namespace sluice::runtime {
namespace {

using test::Answer;
using test::GoldenModel;
using test::run_one;

// The small random checkpoint of the tree; it has a draft head.
std::filesystem::path tiny_model() { return test::tests_folder() / "model" / "data" / "tiny"; }

EngineShape shape(int depth, int64_t sequences = 1, int64_t prompt_rows = 512) {
  EngineShape result;
  result.context = 512;
  result.sequences = sequences;
  result.draft_depth = depth;
  result.prompt_rows = prompt_rows;
  result.kv = ops::KvFormat::kF32;
  return result;
}

Request request(std::vector<int32_t> prompt, int64_t max_tokens, double temperature,
                uint64_t seed = 1) {
  Request result;
  result.prompt = std::move(prompt);
  result.max_tokens = max_tokens;
  result.sampling.temperature = temperature;
  result.sampling.seed = seed;
  result.ignore_eos = true;
  return result;
}

std::vector<int32_t> random_prompt(size_t length, unsigned seed, int vocabulary) {
  std::mt19937 random(seed);
  std::vector<int32_t> ids(length);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<unsigned>(vocabulary));
  return ids;
}

class EngineOn : public testing::TestWithParam<std::string> {
 protected:
  GoldenModel& model() {
    static std::map<std::string, std::unique_ptr<GoldenModel>> loaded;
    auto& entry = loaded[GetParam()];
    if (!entry)
      entry = std::make_unique<GoldenModel>(tiny_model(),
                                            backend::BackendOptions{GetParam(), 2, std::nullopt});
    return *entry;
  }
  int vocabulary() { return static_cast<int>(model().model->config().vocabulary); }
};

TEST_P(EngineOn, DraftsNeverChangeAnAnswer) {
  struct Case {
    size_t length;
    double temperature;
  };
  for (const Case at : {Case{1, 0.9}, Case{5, 0}, Case{64, 0.9}, Case{100, 0}, Case{100, 0.9}}) {
    const Request what = request(random_prompt(at.length, 3, vocabulary()), 40, at.temperature, 11);
    std::vector<int32_t> plain;
    for (int depth = 0; depth <= 8; ++depth) {
      const auto engine = model().engine(shape(depth));
      const Answer answer = run_one(*engine, what);
      ASSERT_EQ(answer.ids.size(), 40u);
      if (depth == 0) {
        plain = answer.ids;
      } else {
        EXPECT_EQ(answer.ids, plain)
            << "depth " << depth << " prompt " << at.length << " temperature " << at.temperature;
        EXPECT_GT(answer.report.draft.proposed[0], 0);
      }
    }
  }
}

// Proposals come from the part of the vocabulary alone; what is drawn does not know of it.
TEST_P(EngineOn, DraftVocabulariesNeverChangeAnAnswer) {
  for (const double temperature : {0.0, 0.9}) {
    const Request what = request(random_prompt(30, 3, vocabulary()), 120, temperature, 11);
    const std::vector<int32_t> plain = run_one(*model().engine(shape(0)), what).ids;
    EXPECT_GT(*std::max_element(plain.begin(), plain.end()), 127);
    for (const int64_t rows : {64, 128, 296}) {
      EngineShape wanted = shape(3);
      wanted.draft_rows = rows;
      const Answer answer = run_one(*model().engine(wanted), what);
      EXPECT_EQ(answer.ids, plain) << rows << " rows, temperature " << temperature;
      EXPECT_EQ(answer.report.draft.mean_head_rows(), static_cast<double>(rows));
      for (const auto& round : answer.drafts) {
        for (size_t i = 1; i < round.size(); ++i) EXPECT_LT(round[i], rows);
      }
    }
  }
}

// An answer that uses low ids alone is soon drafted from these alone.
TEST_P(EngineOn, TheDraftVocabularyFollowsTheAnswer) {
  Request what = request(random_prompt(60, 3, 128), 120, 0.9, 11);
  for (int32_t id = 128; id < vocabulary(); ++id) what.sampling.forbidden_ids.push_back(id);
  const std::vector<int32_t> plain = run_one(*model().engine(shape(0)), what).ids;
  EngineShape wanted = shape(2);
  wanted.draft_rows = DraftVocabulary::kThatPay;
  const Answer answer = run_one(*model().engine(wanted), what);
  EXPECT_EQ(answer.ids, plain);
  EXPECT_GT(answer.report.draft.mean_head_rows(), 128);
  EXPECT_LT(answer.report.draft.mean_head_rows(), 230) << "296 at the beginning, then 128";
  for (const auto& round : answer.drafts) {
    if (round[0] < 60 + 60) continue;
    for (size_t i = 1; i < round.size(); ++i) EXPECT_LT(round[i], 128);
  }
}

// What the whole head would propose is proposed wherever it lies in the part.
TEST_P(EngineOn, APartProposesWhatTheWholeWouldOfIt) {
  Request what = request(random_prompt(30, 4, vocabulary()), 60, 0.0);
  const Answer whole = run_one(*model().engine(shape(1)), what);
  EngineShape wanted = shape(1);
  wanted.draft_rows = 192;
  const Answer part = run_one(*model().engine(wanted), what);
  ASSERT_EQ(part.ids, whole.ids);
  std::map<int32_t, int32_t> proposed;  // by the number of tokens before
  for (const auto& round : part.drafts) proposed[round[0]] = round[1];
  int same = 0, other = 0;
  for (const auto& round : whole.drafts) {
    if (!proposed.contains(round[0])) continue;
    if (round[1] < 192) {
      EXPECT_EQ(proposed[round[0]], round[1]);
      ++same;
    } else {
      EXPECT_NE(proposed[round[0]], round[1]);
      ++other;
    }
  }
  EXPECT_GT(same, 5);
  EXPECT_GT(other, 5);
}

TEST_P(EngineOn, PenaltiesAndLogprobsAreTheSameWithDrafts) {
  Request what = request(random_prompt(20, 5, vocabulary()), 30, 0.7, 5);
  what.sampling.presence_penalty = 1;
  what.sampling.frequency_penalty = 0.5;
  what.sampling.repetition_penalty = 1.2;
  what.sampling.top_k = 50;
  what.sampling.logprobs = 3;
  const Answer plain = run_one(*model().engine(shape(0)), what);
  const Answer drafted = run_one(*model().engine(shape(3)), what);
  EXPECT_EQ(plain.ids, drafted.ids);
  for (size_t i = 0; i < plain.tokens.size(); ++i) {
    EXPECT_EQ(plain.tokens[i].logprob, drafted.tokens[i].logprob) << i;
    ASSERT_EQ(plain.tokens[i].top.size(), 3u);
    EXPECT_EQ(plain.tokens[i].top[2].logprob, drafted.tokens[i].top[2].logprob) << i;
  }
}

TEST_P(EngineOn, CompanyNeverChangesAnAnswer) {
  std::vector<Request> requests;
  for (unsigned i = 0; i < 7; ++i) {
    Request what =
        request(random_prompt(1 + 37 * i, i, vocabulary()), 10 + 5 * i, i % 2 == 0 ? 0.0 : 0.8, i);
    what.sampling.logprobs = 0;
    requests.push_back(what);
  }
  for (const int depth : {0, 2}) {
    std::vector<Answer> alone;
    const auto single = model().engine(shape(depth));
    for (const Request& what : requests) alone.push_back(run_one(*single, what));
    // Four at a time, the others wait; prompts read in small pieces between the answers of others.
    for (const int64_t prompt_rows : {64, 512}) {
      const auto engine = model().engine(shape(depth, 4, prompt_rows));
      std::vector<Answer> together(requests.size());
      for (size_t i = 0; i < requests.size(); ++i)
        ASSERT_TRUE(engine->submit(requests[i], together[i]).ok());
      engine->run_until_idle();
      for (size_t i = 0; i < requests.size(); ++i) {
        EXPECT_EQ(together[i].ids, alone[i].ids)
            << "request " << i << " depth " << depth << " rows " << prompt_rows;
        for (size_t t = 0; t < alone[i].tokens.size() && t < together[i].tokens.size(); ++t) {
          ASSERT_EQ(together[i].tokens[t].logprob, alone[i].tokens[t].logprob)
              << "request " << i << " token " << t;
        }
      }
      EXPECT_TRUE(engine->intact());
    }
  }
}

TEST_P(EngineOn, ThreadsNeverChangeAnAnswer) {
  Request what = request(random_prompt(90, 8, vocabulary()), 20, 0.0);
  what.sampling.logprobs = 0;
  const Answer two = run_one(*model().engine(shape(2)), what);
  for (const int threads : {1, 3}) {
    const GoldenModel other(tiny_model(), {GetParam(), threads, std::nullopt});
    const Answer answer = run_one(*other.engine(shape(2)), what);
    EXPECT_EQ(answer.ids, two.ids);
    for (size_t i = 0; i < two.tokens.size(); ++i)
      EXPECT_EQ(answer.tokens[i].logprob, two.tokens[i].logprob) << i;
  }
}

TEST_P(EngineOn, StopsWhereItShould) {
  const auto engine = model().engine(shape(3));
  const Request greedy = request(random_prompt(10, 2, vocabulary()), 30, 0.0);
  const Answer whole = run_one(*engine, greedy);
  EXPECT_EQ(whole.report.finish, FinishReason::kLength);
  EXPECT_EQ(whole.report.output_tokens, 30);

  Request by_id = greedy;
  by_id.stop_ids = {whole.ids[7]};
  const Answer stopped = run_one(*engine, by_id);
  const size_t first = static_cast<size_t>(
      std::find(whole.ids.begin(), whole.ids.end(), whole.ids[7]) - whole.ids.begin());
  EXPECT_EQ(stopped.ids, std::vector<int32_t>(whole.ids.begin(),
                                              whole.ids.begin() + static_cast<int64_t>(first) + 1));
  EXPECT_EQ(stopped.report.finish, FinishReason::kStop);
  EXPECT_EQ(stopped.report.stop_id, whole.ids[7]);

  Request by_text = greedy;
  const std::string middle = whole.text.substr(whole.text.size() / 2, 3);
  by_text.stop_strings = {middle};
  const Answer cut = run_one(*engine, by_text);
  EXPECT_EQ(cut.text, whole.text.substr(0, whole.text.find(middle)));
  EXPECT_EQ(cut.report.stop_string, middle);

  Request to_the_end = greedy;
  to_the_end.max_tokens = -1;
  const Answer full = run_one(*engine, to_the_end);
  EXPECT_EQ(full.report.finish, FinishReason::kLength);
  EXPECT_EQ(full.report.prompt_tokens + full.report.output_tokens, 512);
}

class CancelAfter : public Answer {
 public:
  void on_token(const TokenEvent& event) override {
    Answer::on_token(event);
    if (ids.size() == 3) engine->cancel(id);
  }
  Engine* engine = nullptr;
  RequestId id = 0;
};

TEST_P(EngineOn, CancelledWithinAStepAndOthersGoOn) {
  const auto engine = model().engine(shape(0, 2));
  CancelAfter cancelled;
  cancelled.engine = engine.get();
  cancelled.id = *engine->submit(request(random_prompt(10, 2, vocabulary()), 30, 0.0), cancelled);
  Answer other, waiting, never;
  const Request what = request(random_prompt(10, 4, vocabulary()), 30, 0.0);
  ASSERT_TRUE(engine->submit(what, other).ok());
  ASSERT_TRUE(engine->submit(what, waiting).ok());
  const auto never_id = engine->submit(what, never);
  engine->cancel(*never_id);
  engine->run_until_idle();
  EXPECT_EQ(cancelled.report.finish, FinishReason::kCancelled);
  EXPECT_LE(cancelled.ids.size(), 4u);
  EXPECT_EQ(other.ids.size(), 30u);
  EXPECT_EQ(waiting.ids, other.ids);
  EXPECT_EQ(never.report.finish, FinishReason::kCancelled);
  EXPECT_TRUE(never.ids.empty());
  EXPECT_TRUE(engine->intact());
}

// Says when it began to be answered.
struct Starts : Answer {
  Starts(std::string* all, char own) : order(all), name(own) {}
  void on_start(int64_t) override { *order += name; }
  std::string* order;
  char name;
};

TEST_P(EngineOn, TheUrgentAndThoseWithLessGoFirst) {
  const auto engine = model().engine(shape(0, 2));
  std::string order;
  std::vector<std::unique_ptr<Starts>> answers;
  const auto submit = [&](const std::string& client, int64_t priority, int64_t tokens) {
    Request what = request(random_prompt(10, 4, vocabulary()), tokens, 0.0);
    what.client = client;
    what.priority = priority;
    answers.push_back(std::make_unique<Starts>(&order, static_cast<char>('a' + answers.size())));
    ASSERT_TRUE(engine->submit(what, *answers.back()).ok());
  };
  submit("one", 0, 60);    // a holds a place all the time
  submit("one", 0, 5);     // b: the first client's second
  submit("one", 0, 5);     // c
  submit("other", 0, 5);   // d
  submit("other", -1, 5);  // e
  engine->run_until_idle();
  EXPECT_EQ(order, "eadbc") << "e is urgent; then one each, then as they came";
}

TEST_P(EngineOn, AnswersGoOnWhileALongPromptIsRead) {
  const Request talk = request(random_prompt(10, 4, vocabulary()), 60, 0.0);
  const Request book = request(random_prompt(448, 5, vocabulary()), 3, 0.0);
  const auto alone = model().engine(shape(0));
  const std::vector<int32_t> talked = run_one(*alone, talk).ids, read = run_one(*alone, book).ids;
  for (const bool keep : {false, true}) {
    EngineShape wanted = shape(0, 2);
    wanted.keep_pace = keep;
    double now = 0;
    const auto engine = Engine::create(*model().model, nullptr, wanted, [&] { return now += 1; });
    ASSERT_TRUE(engine.ok());
    Answer talking, reading;
    ASSERT_TRUE((*engine)->submit(talk, talking).ok());
    for (int step = 0; step < 5; ++step) (*engine)->step();
    const size_t before = talking.ids.size();
    ASSERT_TRUE((*engine)->submit(book, reading).ok());
    while (reading.ids.empty()) (*engine)->step();
    EXPECT_EQ(talking.ids.size() - before, keep ? 7u : 1u) << "seven pieces of the grid, or one";
    (*engine)->run_until_idle();
    EXPECT_EQ(talking.ids, talked);
    EXPECT_EQ(reading.ids, read);
  }
}

TEST_P(EngineOn, RefusesByName) {
  const auto engine = model().engine(shape(0));
  Answer answer;
  const auto refused = [&](const Request& what) {
    return engine->submit(what, answer).error().what;
  };
  EXPECT_EQ(refused(request({}, 5, 0)), "prompt");
  EXPECT_EQ(refused(request({-1}, 5, 0)), "prompt");
  EXPECT_EQ(refused(request({vocabulary()}, 5, 0)), "prompt");
  EXPECT_EQ(refused(request(random_prompt(512, 1, vocabulary()), 5, 0)), "prompt");
  EXPECT_EQ(refused(request({1}, 0, 0)), "max_tokens");
  EXPECT_EQ(refused(request({1}, 5, 3)), "temperature");
  EXPECT_FALSE(engine->step());
}

INSTANTIATE_TEST_SUITE_P(Backends, EngineOn, testing::ValuesIn(backend::built_backends()),
                         [](const auto& backend) { return backend.param; });

// Greedy continuations and draft traces of the reference implementation, exactly.
TEST(EngineGoldens, GreedyContinuationsAndDraftTraces) {
  SLUICE_REQUIRE_SHARED(folder, "goldens/text-r3-untied-mtp");
  auto goldens = checkpoint::Checkpoint::open(folder / "goldens.safetensors");
  ASSERT_TRUE(goldens.ok()) << goldens.error().message();
  for (const std::string& name : backend::built_backends()) {
    const GoldenModel model(folder, {name, 2, std::nullopt});
    for (const char* prompt : {"len5", "len65"}) {
      const auto ids = test::golden_integers(*goldens, std::string(prompt) + ".ids");
      const auto greedy = test::golden_integers(*goldens, std::string(prompt) + ".greedy.tokens");
      for (int depth = 0; depth <= 4; ++depth) {
        const auto engine = model.engine(shape(depth));
        // A few tokens more than stored, so that the last stored round is whole here too.
        const Answer answer =
            run_one(*engine, request(ids, static_cast<int64_t>(greedy.size()) + depth + 1, 0.0));
        const std::string where = fmt::format("{} {} depth {}", name, prompt, depth);
        ASSERT_GE(answer.ids.size(), greedy.size()) << where;
        EXPECT_TRUE(std::equal(greedy.begin(), greedy.end(), answer.ids.begin())) << where;
        if (depth == 0) continue;
        // Rows of the trace: n (the last token processed; token n + 1 is known), the drafts, the
        // number accepted, which the next row's n shows.
        const auto trace = test::golden_integers(
            *goldens, std::string(prompt) + ".mtp.trace_depth" + std::to_string(depth));
        const size_t width = static_cast<size_t>(depth) + 2;
        const size_t rounds = trace.size() / width;
        ASSERT_GT(rounds, 0u) << where;
        ASSERT_GE(answer.drafts.size(), rounds) << where;
        for (size_t round = 0; round < rounds; ++round) {
          std::vector<int32_t> expected(
              trace.begin() + static_cast<ptrdiff_t>(round * width),
              trace.begin() + static_cast<ptrdiff_t>((round + 1) * width - 1));
          expected[0] += 2;
          EXPECT_EQ(answer.drafts[round], expected) << where << " round " << round;
        }
      }
    }
  }
}

}  // namespace
}  // namespace sluice::runtime
