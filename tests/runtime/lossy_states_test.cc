// The prefix cache and its disk tier with saved states in fewer bits: close to a cold start, the
// same bits for the same stored bytes, more states in the same memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>

#include "base/log.h"
#include "base/memory.h"
#include "runtime/cache/state_store.h"
#include "runtime/cached_engine.h"
#include "runtime/engine.h"

namespace sluice::runtime {
namespace {

namespace fs = std::filesystem;
using test::Answer;
using test::append;
using test::expect_same;
using test::kAmpleCache;
using test::run_one;
using test::save_all;

constexpr StateForm kLossy[] = {StateForm::kInt16, StateForm::kInt8};

// Of the small model's log probabilities behind a restored state, against a cold start's: a few
// times of what is seen, 1.1e-5 and 1.4e-4.
double logprob_bound(StateForm form) { return form == StateForm::kInt16 ? 4e-5 : 1e-3; }

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "sluice-states-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

class LossyStates : public test::CachedEngine {
 protected:
  EngineShape shape(StateForm form, int depth = 0, uint64_t prefix_cache = kAmpleCache) {
    EngineShape result;
    result.context = 768;
    result.draft_depth = depth;
    result.kv = ops::KvFormat::kF32;
    result.prefix_cache = prefix_cache;
    result.saved_states = form;
    return result;
  }
  std::unique_ptr<Engine> engine(StateForm form, int depth = 0,
                                 uint64_t prefix_cache = kAmpleCache) {
    return model().engine(shape(form, depth, prefix_cache));
  }
  std::unique_ptr<Engine> disk_engine(StateForm form, int depth, const fs::path& folder) {
    EngineShape with_disk = shape(form, depth);
    with_disk.disk = {folder.string(), uint64_t{64} << 20, "this model"};
    return model().engine(with_disk);
  }
};

TEST_P(LossyStates, RestoredAnswersAreCloseAndTheSameEachTime) {
  for (const StateForm form : kLossy) {
    for (const int depth : {0, 2}) {
      const auto cached = engine(form, depth), cold = engine(StateForm::kF32, depth, 0);
      double furthest = 0;
      for (int round = 0; round < 3; ++round) {
        Request what = request(random_ids(300 + below(200)), 6, round % 2 == 0);
        const Answer expected = run_one(*cold, what);
        expect_same(run_one(*cached, what), expected, "nothing was restored");
        what.reuse_answers = false;
        const Answer restored = run_one(*cached, what);
        EXPECT_GE(restored.report.cached_tokens, 256);
        expect_same(run_one(*cached, what), restored, "a second time");
        // As far as both say the same; a near tie may part them.
        for (size_t i = 0; i < restored.ids.size(); ++i) {
          const double distance =
              std::abs(double{restored.tokens[i].logprob} - double{expected.tokens[i].logprob});
          EXPECT_LE(distance, logprob_bound(form)) << state_form_name(form) << " token " << i;
          furthest = std::max(furthest, distance);
          if (restored.ids[i] != expected.ids[i]) break;
        }
      }
      EXPECT_GT(furthest, 0) << "no state was kept as " << state_form_name(form);
    }
  }
}

// A state that is saved behind a restored one, and so on.
TEST_P(LossyStates, ErrorsDoNotAddUpOverAConversation) {
  for (const StateForm form : kLossy) {
    const auto cached = engine(form), cold = engine(StateForm::kF32, 0, 0);
    auto conversation = random_ids(70);
    for (int turn = 0; turn < 12; ++turn) {
      const Request what = request(conversation, 1);
      const Answer answer = run_one(*cached, what), expected = run_one(*cold, what);
      EXPECT_EQ(answer.report.cached_tokens > 0, turn > 0);
      EXPECT_NEAR(answer.tokens[0].logprob, expected.tokens[0].logprob, logprob_bound(form))
          << state_form_name(form) << " turn " << turn;
      append(conversation, random_ids(30));
    }
  }
}

TEST_P(LossyStates, TheSameBudgetHoldsMoreAndThePlanSaysHowMany) {
  const int depth = 2;  // the draft head is loaded
  int64_t fewer = 0;
  for (const StateForm form : {StateForm::kF32, StateForm::kInt16, StateForm::kInt8}) {
    const EngineShape asked = shape(form, depth, budget(100, 1600, depth));
    const MemoryPlan plan = plan_memory(model().binding, *model().backend, asked, 0);
    const auto made = model().engine(asked);
    EXPECT_EQ(plan.saved_states, made->cache_use().most_states) << state_form_name(form);
    EXPECT_GT(plan.saved_states, fewer) << state_form_name(form);
    fewer = plan.saved_states;
  }
}

// Resident growth of a store that is larger than the rest of this program, against the plan's.
TEST_P(LossyStates, AStoreTakesWhatThePlanSays) {
  model::TextConfig config = model().model->config();
  config.gdn_value_heads = 4 * config.gdn_key_heads;
  config.gdn_key_dim = config.gdn_value_dim = 128;
  constexpr int64_t kCheckpoints = 64;
  const ops::RecurrentSpec spec = model::TextModel::recurrent_spec(config, kCheckpoints, 0);
  for (const StateForm form : kLossy) {
    const size_t said = StateStore::memory(config, 2, kCheckpoints, true, form);
    EXPECT_LE(static_cast<size_t>(kCheckpoints) * StateStore::bytes(config, true, form), said);
    const uint64_t before = anonymous_resident_memory();
    const auto store = StateStore::create(*model().backend, spec, form, 2, config.hidden);
    ASSERT_TRUE(store.ok());
    const auto grown = static_cast<double>(anonymous_resident_memory() - before);
    // The system counts in lots of pages.
    EXPECT_LE(grown, static_cast<double>(said) * 1.01 + (1 << 20)) << state_form_name(form);
    EXPECT_GE(grown, static_cast<double>(said) * 0.99 - (1 << 20)) << state_form_name(form);
  }
}

TEST_P(LossyStates, FromDiskTheyAreTheBitsOfMemory) {
  std::vector<std::string> warnings;
  set_log_sink([&](LogLevel level, std::string_view text) {
    if (level == LogLevel::kWarning) warnings.emplace_back(text);
  });
  const int depth = 2;
  uint64_t bytes_before = UINT64_MAX;
  for (const StateForm form : {StateForm::kF32, StateForm::kInt16, StateForm::kInt8}) {
    const Folder folder;
    const Request first = request(random_ids(400), 8, false);
    Request onward = first;
    append(onward.prompt, random_ids(40));
    Answer expected;
    {
      const auto before = disk_engine(form, depth, folder.path());
      run_one(*before, first);
      save_all(*before);
      const uint64_t bytes = before->cache_use().disk.bytes;
      EXPECT_LT(bytes, bytes_before) << state_form_name(form);
      bytes_before = bytes;
      expected = run_one(*before, onward);
      EXPECT_EQ(expected.report.cached_tokens, 384);
      EXPECT_EQ(expected.report.cached_disk_tokens, 0);
    }
    // Whoever keeps states otherwise leaves these files alone, and reads for itself.
    for (const StateForm other : {StateForm::kF32, StateForm::kInt16, StateForm::kInt8}) {
      if (other == form) continue;
      const auto another = disk_engine(other, depth, folder.path());
      EXPECT_GT(another->cache_use().disk.foreign, 0);
      EXPECT_EQ(run_one(*another, onward).report.cached_tokens, 0);
      EXPECT_EQ(another->cache_use().disk.damaged, 0u);
    }
    const auto after = disk_engine(form, depth, folder.path());
    const Answer answer = run_one(*after, onward);
    EXPECT_EQ(answer.report.cached_disk_tokens, 384);
    expect_same(answer, expected, state_form_name(form));
    EXPECT_TRUE(after->intact());
  }
  set_log_sink(nullptr);
  EXPECT_TRUE(warnings.empty());
}

INSTANTIATE_TEST_SUITE_P(Backends, LossyStates, testing::ValuesIn(backend::built_backends()),
                         [](const auto& backend) { return backend.param; });

}  // namespace
}  // namespace sluice::runtime
