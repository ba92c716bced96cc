// The disk tier under a whole model: what was read before a restart, or has left memory since, is
// not read again, and no bit shows it.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>

#include "base/log.h"
#include "runtime/cached_engine.h"
#include "runtime/engine.h"
#include "runtime/golden_model.h"

namespace sluice::runtime {
namespace {

namespace fs = std::filesystem;
using test::Answer;
using test::append;
using test::expect_same;
using test::Ids;
using test::kAmpleCache;
using test::run_one;
using test::save_all;

constexpr uint64_t kAmpleDisk = 64 << 20;

class DiskCacheOn : public test::CachedEngine {
 protected:
  DiskCacheOn() {
    std::string name = (fs::temp_directory_path() / "sluice-cache-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    set_log_sink([this](LogLevel level, std::string_view text) {
      if (level == LogLevel::kWarning) warnings_.emplace_back(text);
    });
  }
  ~DiskCacheOn() override {
    set_log_sink(nullptr);
    fs::remove_all(folder_);
  }

  std::unique_ptr<Engine> engine(int depth, const std::string& identity = "this model",
                                 uint64_t prefix_cache = kAmpleCache,
                                 ops::KvFormat kv = ops::KvFormat::kF32) {
    EngineShape shape;
    shape.context = 768;
    shape.draft_depth = depth;
    shape.kv = kv;
    shape.prefix_cache = prefix_cache;
    if (!identity.empty()) shape.disk = {folder_.string(), disk_bytes_, identity};
    return model().engine(shape);
  }
  // Without disk and memory.
  std::unique_ptr<Engine> cold(int depth) { return engine(depth, "", 0); }

  fs::path folder_;
  uint64_t disk_bytes_ = kAmpleDisk;
  std::vector<std::string> warnings_;
};

TEST_P(DiskCacheOn, AfterARestartAPromptIsNotReadAgainAndEqualsAColdStart) {
  for (const int depth : {0, 2}) {
    const Request first = request(random_ids(400), 8, false);
    Request onward = first;
    append(onward.prompt, random_ids(100));
    {
      const auto before = engine(depth);
      run_one(*before, first);
      save_all(*before);
      EXPECT_GT(before->cache_use().disk.written, 0u);
    }
    const auto after = engine(depth);
    const Answer answer = run_one(*after, onward);
    EXPECT_EQ(answer.report.cached_tokens, 384);
    EXPECT_EQ(answer.report.cached_disk_tokens, 384);
    EXPECT_EQ(answer.report.cached_answer_tokens, 0);
    expect_same(answer, run_one(*cold(depth), onward), "depth " + std::to_string(depth));
    // Now it is in memory.
    const Answer again = run_one(*after, onward);
    EXPECT_EQ(again.report.cached_disk_tokens, 0);
    EXPECT_GE(again.report.cached_tokens, 384);
  }
  EXPECT_TRUE(warnings_.empty());
}

// An uninterrupted conversation, and the same with a restart before every turn.
TEST_P(DiskCacheOn, AConversationGoesOnAfterEveryRestartAsIfThereHadBeenNone) {
  for (const int depth : {0, 2}) {
    for (const bool reuse_answers : {true, false}) {
      const auto steady = engine(depth, "");
      Ids conversation = random_ids(100);
      for (int turn = 0; turn < 4; ++turn) {
        const Request what = request(conversation, 20 + 9 * turn, reuse_answers);
        const auto restarted = engine(depth);
        const Answer expected = run_one(*steady, what), answer = run_one(*restarted, what);
        const std::string where =
            "depth " + std::to_string(depth) + " turn " + std::to_string(turn);
        expect_same(answer, expected, where);
        EXPECT_EQ(answer.report.cached_tokens, expected.report.cached_tokens) << where;
        EXPECT_EQ(answer.report.cached_answer_tokens, expected.report.cached_answer_tokens)
            << where;
        EXPECT_EQ(answer.report.cached_disk_tokens, answer.report.cached_tokens) << where;
        save_all(*restarted);
        append(conversation, answer.ids);
        append(conversation, random_ids(1 + below(50)));
      }
    }
  }
  EXPECT_TRUE(warnings_.empty());
}

// Memory for next to nothing: all that is known comes back from disk.
TEST_P(DiskCacheOn, RandomConversationsThatMemoryCannotHoldEqualAColdStart) {
  const int depth = 2;
  const auto cached = engine(depth, "this model", budget(3, 4, depth)), without = cold(depth);
  std::vector<Ids> texts = {{}};
  int64_t from_disk = 0;
  for (int round = 0; round < 10; ++round) {
    Ids prompt = texts[below(texts.size())];
    prompt.resize(std::min<size_t>(prompt.size(), 550));
    append(prompt, random_ids(60 + below(100)));
    Request what = request(prompt, 1 + static_cast<int64_t>(below(8)), false);
    for (size_t at = below(100); at <= prompt.size(); at += 1 + below(200))
      what.borders.push_back(static_cast<int64_t>(at));
    const Answer answer = run_one(*cached, what);
    expect_same(answer, run_one(*without, what), "round " + std::to_string(round));
    from_disk += answer.report.cached_disk_tokens;
    save_all(*cached);
    EXPECT_TRUE(cached->intact());
    append(prompt, answer.ids);
    texts.push_back(prompt);
  }
  EXPECT_GT(from_disk, 300);
  EXPECT_TRUE(warnings_.empty());
}

// While there are requests, what memory is about to lose is written beside them.
TEST_P(DiskCacheOn, ABusyEngineWritesToo) {
  const auto busy = engine(0, "this model", budget(3, 4, 0));
  const Request first = request(random_ids(200), 2, false);
  for (int i = 0; i < 400 && busy->cache_use().disk.written < 3; ++i)
    run_one(*busy, i == 0 ? first : request(random_ids(200), 2, false));
  const DiskUse use = busy->cache_use().disk;
  EXPECT_GE(use.written, 3u);
  EXPECT_EQ(use.failed + use.damaged, 0u);
  expect_same(run_one(*busy, first), run_one(*cold(0), first), "the first again");
}

TEST_P(DiskCacheOn, AnotherModelKvTypeOrSpaceSeesNothing) {
  const Request what = request(random_ids(300), 4, false);
  {
    const auto before = engine(0);
    run_one(*before, what);
    save_all(*before);
  }
  const auto cached_by = [&](std::unique_ptr<Engine> other, const Request& asked) {
    return run_one(*other, asked).report.cached_tokens;
  };
  EXPECT_EQ(cached_by(engine(0, "another model"), what), 0);
  EXPECT_EQ(cached_by(engine(0, "this model", kAmpleCache, ops::KvFormat::kBF16), what), 0);
  EXPECT_EQ(cached_by(engine(2), what), 0) << "without the draft head's rows";
  Request elsewhere = what;
  elsewhere.cache_space = "somebody else's";
  EXPECT_EQ(cached_by(engine(0), elsewhere), 0);
  EXPECT_EQ(cached_by(engine(0), what), 256);
  EXPECT_TRUE(warnings_.empty());
}

// Every file damaged in one place, in turn at the beginning, the middle and the end.
TEST_P(DiskCacheOn, DamagedFilesCostATimeToReadAndNoBit) {
  const Request first = request(random_ids(300), 6, false);
  Request onward = first;
  append(onward.prompt, random_ids(200));
  onward.borders = {350};
  const Answer expected = run_one(*cold(2), onward);
  for (const double place : {0.01, 0.6, 0.999}) {
    {
      const auto before = engine(2);
      run_one(*before, first);
      save_all(*before);
    }
    size_t damaged = 0;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
      const auto at =
          static_cast<std::streamoff>(place * static_cast<double>(fs::file_size(entry.path())));
      file.seekg(at);
      const char changed = static_cast<char>(file.get() ^ 1);
      file.seekp(at);
      file.put(changed);
      ++damaged;
    }
    ASSERT_GT(damaged, 0u);
    const auto after = engine(2);
    const Answer answer = run_one(*after, onward);
    expect_same(answer, expected, "damaged at " + std::to_string(place));
    EXPECT_EQ(answer.report.cached_tokens, 0);
    EXPECT_GT(after->cache_use().disk.damaged, 0u);
    EXPECT_FALSE(warnings_.empty());
    EXPECT_TRUE(after->intact());
    // It is written anew, and known after the next restart.
    save_all(*after);
    EXPECT_GE(run_one(*engine(2), onward).report.cached_disk_tokens, 448);
    fs::remove_all(folder_);
  }
}

// An answer that is being made while another request's prompt comes from disk.
class Beside : public Answer {
 public:
  void on_start(int64_t begin) override {
    Answer::on_start(begin);
    tokens_of_other = static_cast<int64_t>(other->ids.size());
  }
  const Answer* other = nullptr;
  int64_t tokens_of_other = -1;  // when this one began
};

TEST_P(DiskCacheOn, AnswersGoOnWhileAPromptComesFromDisk) {
  const int depth = 2;
  const Request stored = request(random_ids(640), 6, false);
  Request onward = stored;
  append(onward.prompt, random_ids(20));
  {
    const auto before = engine(depth);
    run_one(*before, stored);
    save_all(*before);
  }
  const Answer expected = run_one(*engine(depth), onward);
  EXPECT_EQ(expected.report.cached_disk_tokens, 640);
  const Request talk = request(random_ids(70), 200, false);
  const Answer undisturbed = run_one(*cold(depth), talk);

  // Everything takes a millisecond, a piece of a file as well as a step of the answer.
  for (const bool cancelled : {false, true}) {
    double now = 0;
    EngineShape shape;
    shape.context = 768;
    shape.sequences = 2;
    shape.draft_depth = depth;
    shape.kv = ops::KvFormat::kF32;
    shape.prefix_cache = kAmpleCache;
    shape.keep_pace = true;
    shape.disk = {folder_.string(), disk_bytes_, "this model"};
    const auto busy = *Engine::create(*model().model, nullptr, shape, [&] { return now += 1; });
    Answer talking;
    Beside restored;
    restored.other = &talking;
    ASSERT_TRUE(busy->submit(talk, talking).ok());
    while (talking.ids.size() < 20) ASSERT_TRUE(busy->step());
    const auto begun = static_cast<int64_t>(talking.ids.size());
    const RequestId id = *busy->submit(onward, restored);
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(busy->step());
      ASSERT_TRUE(busy->intact());
    }
    if (cancelled) {
      busy->cancel(id);
      busy->run_until_idle();
      EXPECT_EQ(restored.report.finish, FinishReason::kCancelled);
      EXPECT_EQ(restored.tokens_of_other, -1) << "while it was read";
      EXPECT_EQ(busy->cache_use().pages_in_use, 0) << "nothing is held any more";
    } else {
      busy->run_until_idle();
      EXPECT_GE(restored.tokens_of_other, begun + 3) << "ten pages in one step";
      EXPECT_EQ(restored.report.cached_disk_tokens, 640);
      expect_same(restored, expected, "beside an answer");
    }
    EXPECT_TRUE(busy->intact());
    expect_same(talking, undisturbed, "the answer beside it");
  }
  EXPECT_TRUE(warnings_.empty());
}

TEST_P(DiskCacheOn, NeedsMemoryAndABudget) {
  EXPECT_THROW(engine(0, "this model", 0), std::runtime_error);
  disk_bytes_ = 1000;
  EXPECT_THROW(engine(0), std::runtime_error);
}

TEST_P(DiskCacheOn, ThePlanCountsWhatItTakes) {
  EngineShape shape;
  shape.prefix_cache = kAmpleCache;
  const auto planned = [&] {
    return plan_memory(model().binding, *model().backend, shape, 0).prefix_cache;
  };
  const uint64_t without = planned();
  shape.disk = {folder_.string(), kAmpleDisk, "this model"};
  const uint64_t layer = model().model->recurrent_spec(1, 0).layer_values() * sizeof(float);
  EXPECT_GE(planned(), without + 2 * layer) << "two pieces, and what is known of files";
  const uint64_t much = planned();
  shape.disk.bytes /= 4;
  EXPECT_LT(planned(), much);
  EXPECT_GE(planned(), without + 2 * layer);
}

TEST_P(DiskCacheOn, UseCountsWhatRunningRequestsHold) {
  const auto cached = engine(0, "");
  EXPECT_EQ(cached->cache_use().pages_in_use, 0);
  Answer answer;
  ASSERT_TRUE(cached->submit(request(random_ids(200), 50, false), answer).ok());
  cached->step();
  EXPECT_EQ(cached->cache_use().pages_in_use, 4);  // 250 tokens
  cached->run_until_idle();
  EXPECT_EQ(cached->cache_use().pages_in_use, 0);
  EXPECT_GT(cached->cache_use().pages, 0);
}

INSTANTIATE_TEST_SUITE_P(Backends, DiskCacheOn, testing::ValuesIn(backend::built_backends()),
                         [](const auto& backend) { return backend.param; });

}  // namespace
}  // namespace sluice::runtime
