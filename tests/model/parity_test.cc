// Every tensor of ../shared/goldens of the text model and the draft head, within the manifest's
// tolerance (architecture.md section 9, mtp.md section 8), on the plain and on the fast backend.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "backend/registry.h"
#include "model/golden.h"
#include "model/session.h"
#include "support/paths.h"

namespace sluice::test {
namespace {

// `cpu` keeps the activations of float weights in fp32 and sums in fp32: the reference's own
// distance from float64, which the tolerances are made of, bounds it as well.
std::unique_ptr<ops::Backend> cpu_backend() {
  return std::move(backend::create({"cpu", 2, std::nullopt}).value());
}

class Parity : public ::testing::TestWithParam<std::tuple<const char*, const char*>> {
 protected:
  void SetUp() override {
    const auto [name, backend] = GetParam();
    SLUICE_REQUIRE_SHARED(folder, std::string("goldens/") + name);
    golden_ = std::make_unique<GoldenCase>(folder);
    Session::Options options;
    if (std::string_view(backend) == "cpu") options.backend = cpu_backend;
    session_ = std::make_unique<Session>(folder, options);
  }

  // Compares and counts, so that a test can say that it compared anything.
  void expect_near(const std::string& name, std::span<const float> values) {
    const std::vector<float> golden = golden_->floats(name);
    EXPECT_LE(peak_error(values, golden), golden_->tolerance(name)) << name;
    ++compared_;
  }

  std::vector<std::string> prompts() const {
    std::vector<std::string> result;
    for (const std::string& name : golden_->names()) {
      if (name.starts_with("len") && name.ends_with(".ids"))
        result.push_back(name.substr(0, name.size() - 3));
    }
    return result;
  }

  void expect_states(const std::string& prompt, int64_t tokens) {
    const model::TextConfig& config = session_->config();
    const ops::RecurrentImage image = session_->state();
    const int64_t state = config.gdn_value_heads * config.gdn_key_dim * config.gdn_value_dim;
    const int64_t columns =
        session_->text_model->recurrent_spec(1, 1).conv_channels() * (config.conv_kernel - 1);
    int64_t gdn = 0, attention = 0;
    for (int64_t layer = 0; layer < config.layers; ++layer) {
      const std::string name = prompt + "state.layers." + std::to_string(layer) + ".";
      if (config.layer_types[static_cast<size_t>(layer)] == model::LayerType::kFullAttention) {
        expect_near(name + "k", session_->keys(attention, tokens));
        expect_near(name + "v", session_->values(attention, tokens));
        ++attention;
      } else {
        const std::span<const float> own =
            std::span(image).subspan(static_cast<size_t>(gdn * (state + columns)));
        expect_near(name + "S", own.first(static_cast<size_t>(state)));
        expect_near(name + "conv",
                    own.subspan(static_cast<size_t>(state), static_cast<size_t>(columns)));
        ++gdn;
      }
    }
  }

  std::unique_ptr<GoldenCase> golden_;
  std::unique_ptr<Session> session_;
  int compared_ = 0;
};

TEST_P(Parity, EveryIntermediateOfFiveTokens) {
  RecordingSink sink(*session_->backend);
  session_->read(golden_->integers("len5.ids"), ops::Role::kPrompt, &sink);
  for (const std::string& name : golden_->names()) {
    const bool traced =
        name == "len5.embeddings" || name == "len5.final_norm" || name.starts_with("len5.layers.");
    if (!traced) continue;
    const auto it = sink.values.find(name.substr(5));
    ASSERT_NE(it, sink.values.end()) << "nothing traced as " << name;
    // The operation hands on queries that are already scaled; the golden is from before.
    if (name.ends_with(".q_l2")) {
      for (float& value : it->second)
        value *= std::sqrt(static_cast<float>(session_->config().gdn_key_dim));
    }
    expect_near(name, it->second);
  }
  EXPECT_GE(compared_, 2 + 12 * session_->config().layers);
}

TEST_P(Parity, LogitsAndStatesOfAllPrompts) {
  for (const std::string& prompt : prompts()) {
    const std::vector<int32_t> ids = golden_->integers(prompt + "ids");
    session_->restart();
    const std::vector<float> hidden = session_->read(ids);
    expect_near(prompt + "logits",
                session_->logits(golden_->integers(prompt + "logits_positions")));
    if (golden_->has(prompt + "final_norm_positions")) {
      expect_near(prompt + "final_norm",
                  rows_of(hidden, session_->config().hidden,
                          golden_->integers(prompt + "final_norm_positions")));
    } else {
      expect_near(prompt + "final_norm", hidden);
    }
    bool has_states = false;
    for (const std::string& name : golden_->names())
      has_states |= name.starts_with(prompt + "state.");
    if (has_states) expect_states(prompt, static_cast<int64_t>(ids.size()));
  }
  EXPECT_GE(compared_, 6);
}

TEST_P(Parity, PositionsFromOneHundredThousand) {
  const int32_t start = golden_->integers("far.start").front();
  EXPECT_GE(start, 100'000);
  session_->restart(start);
  session_->read(golden_->integers("far.ids"));
  expect_near("far.logits", session_->logits(golden_->integers("far.logits_positions")));
}

TEST_P(Parity, GreedyContinuation) {
  for (const std::string& prompt : prompts()) {
    if (!golden_->has(prompt + "greedy.tokens")) continue;
    const std::vector<int32_t> wanted = golden_->integers(prompt + "greedy.tokens");
    session_->restart();
    session_->read(golden_->integers(prompt + "ids"));
    std::vector<float> logits;
    std::vector<int32_t> tokens;
    while (tokens.size() < wanted.size()) {
      const int32_t row = static_cast<int32_t>(session_->last.rows) - 1;
      const std::vector<float> one = session_->logits({&row, 1});
      logits.insert(logits.end(), one.begin(), one.end());
      tokens.push_back(argmax_rows(one, session_->config().vocabulary).front());
      session_->read(std::span(tokens).last(1), ops::Role::kAnswer);
    }
    EXPECT_EQ(tokens, wanted) << prompt;
    // Sequential here, chunked there: the reference itself differs by twice its tolerance between
    // the two.
    const std::vector<float> golden = golden_->floats(prompt + "greedy.logits");
    EXPECT_LE(peak_error(logits, golden), 2 * golden_->tolerance(prompt + "greedy.logits"))
        << prompt;
  }
}

// ---------------------------------------------- draft head

TEST_P(Parity, DraftHead) {
  if (!golden_->has("len5.mtp.hidden")) GTEST_SKIP() << "this case has no draft head";
  const int64_t hidden_size = session_->config().hidden, vocabulary = session_->config().vocabulary;
  for (const std::string& prompt : prompts()) {
    if (!golden_->has(prompt + "mtp.slots")) continue;
    std::vector<int32_t> tokens = golden_->integers(prompt + "ids");
    const std::vector<int32_t> greedy = golden_->integers(prompt + "greedy.tokens");
    tokens.insert(tokens.end(), greedy.begin(), greedy.end());
    const std::span<const int32_t> shifted = std::span(tokens).subspan(1);
    session_->restart();
    const std::vector<float> hidden = session_->read(std::span(tokens).first(tokens.size() - 1));

    const std::vector<int32_t> slots = golden_->integers(prompt + "mtp.slots");
    const std::vector<float> m = session_->draft(0, shifted, hidden);
    expect_near(prompt + "mtp.hidden", rows_of(m, hidden_size, slots));
    expect_near(prompt + "mtp.logits", session_->logits(slots));

    // Recursive drafts, slot by slot: the rows up to a slot are the target's, those after it are
    // overwritten.
    const std::vector<int32_t> draft_slots = golden_->integers(prompt + "mtp.draft_slots");
    const std::vector<int32_t> wanted = golden_->integers(prompt + "mtp.draft_tokens");
    std::vector<int32_t> drafted;
    std::vector<float> draft_logits;
    for (size_t i = 0; i < draft_slots.size(); ++i) {
      const auto slot = static_cast<size_t>(draft_slots[i]);
      const std::span<const float> row = std::span(hidden).subspan(
          slot * static_cast<size_t>(hidden_size), static_cast<size_t>(hidden_size));
      session_->draft(draft_slots[i], shifted.subspan(slot, 1), row, ops::Role::kAnswer);
      for (int32_t step = 0; step < 4; ++step) {
        const std::vector<float> logits = session_->all_logits();
        drafted.push_back(argmax_rows(logits, vocabulary).front());
        if (i < 4) draft_logits.insert(draft_logits.end(), logits.begin(), logits.end());
        if (step < 3) session_->draft_again(draft_slots[i] + step + 1, std::span(drafted).last(1));
      }
    }
    EXPECT_EQ(drafted, wanted) << prompt;
    expect_near(prompt + "mtp.draft_logits", draft_logits);

    // The recorded rounds of greedy speculation follow from these drafts and the greedy text.
    for (size_t depth = 1; depth <= 4; ++depth) {
      const std::vector<int32_t> trace =
          golden_->integers(prompt + "mtp.trace_depth" + std::to_string(depth));
      for (size_t round = 0; round < trace.size(); round += depth + 2) {
        const auto place = std::find(draft_slots.begin(), draft_slots.end(), trace[round]);
        ASSERT_NE(place, draft_slots.end());
        const auto first = drafted.begin() + 4 * (place - draft_slots.begin());
        EXPECT_TRUE(std::equal(first, first + static_cast<int64_t>(depth),
                               trace.begin() + static_cast<int64_t>(round) + 1));
        size_t accepted = 0;
        const auto known = static_cast<size_t>(trace[round]) + 2;
        while (accepted < depth && known + accepted < tokens.size() &&
               first[static_cast<int64_t>(accepted)] == tokens[known + accepted])
          ++accepted;
        EXPECT_EQ(static_cast<int32_t>(accepted), trace[round + depth + 1])
            << prompt << " depth " << depth << " n " << trace[round];
      }
    }
  }
}

TEST_P(Parity, DraftHeadIntermediates) {
  if (!golden_->has("len5.mtp.hidden")) GTEST_SKIP() << "this case has no draft head";
  const std::vector<int32_t> ids = golden_->integers("len5.ids"),
                             greedy = golden_->integers("len5.greedy.tokens");
  std::vector<int32_t> shifted(ids.begin() + 1, ids.end());
  shifted.push_back(greedy.front());
  const std::vector<float> hidden = session_->read(ids);
  RecordingSink sink(*session_->backend);
  session_->draft(0, shifted, hidden, ops::Role::kPrompt, &sink);
  for (const std::string& name : golden_->names()) {
    const bool traced = name == "len5.mtp.fc_in" || name == "len5.mtp.fc_out" ||
                        name.starts_with("len5.mtp.layer.");
    if (!traced) continue;
    const auto it = sink.values.find(name.substr(5));
    ASSERT_NE(it, sink.values.end()) << "nothing traced as " << name;
    expect_near(name, it->second);
  }
  EXPECT_EQ(compared_, 16);
}

// The head may be fed the workspace's own h_final or m: the result must not depend on it.
TEST_P(Parity, DraftHeadReadsTheWorkspaceItWritesTo) {
  if (!golden_->has("len5.mtp.hidden")) GTEST_SKIP() << "this case has no draft head";
  const std::vector<int32_t> ids = golden_->integers("len5.ids");
  const std::vector<float> hidden = session_->read(ids);
  const std::vector<float> aliased = session_->draft_again(0, ids);
  EXPECT_EQ(aliased, session_->draft(0, ids, hidden, ops::Role::kAnswer));
  const std::vector<float> again = session_->draft_again(0, ids);
  EXPECT_EQ(again, session_->draft(0, ids, aliased, ops::Role::kAnswer));
}

// ---------------------------------------------- ways of reading

TEST_P(Parity, AnyCutGivesTheSameState) {
  const std::vector<std::string> names = prompts();
  std::vector<int32_t> ids;
  std::string longest;
  for (const std::string& prompt : names) {
    std::vector<int32_t> candidate = golden_->integers(prompt + "ids");
    if (candidate.size() > ids.size() && candidate.size() <= 130) {
      ids = std::move(candidate);
      longest = prompt;
    }
  }
  const std::vector<float> whole = session_->read(ids);
  const ops::RecurrentImage state = session_->state();
  const auto length = static_cast<int64_t>(ids.size());
  const auto tolerance = 4 * golden_->tolerance(longest + "final_norm");

  // On the grid of 64: the same bits.
  std::vector<int64_t> grid;
  for (int64_t cut = ops::kGrid; cut < length; cut += ops::kGrid) grid.push_back(cut);
  session_->restart();
  EXPECT_EQ(session_->read_split(ids, grid), whole);
  EXPECT_EQ(session_->state(), state);

  // Anywhere else: the chunk begins at another place.
  for (const int64_t cut : {int64_t{1}, int64_t{3}, length / 2}) {
    session_->restart();
    const int64_t cuts[] = {cut};
    EXPECT_LE(peak_error(session_->read_split(ids, cuts), whole), tolerance) << "cut at " << cut;
    EXPECT_LE(peak_error(session_->state(), state), tolerance) << "cut at " << cut;
  }

  // Token by token, by the sequential rule.
  session_->restart();
  std::vector<float> stepped;
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::vector<float> row = session_->read(std::span(ids).subspan(i, 1), ops::Role::kAnswer);
    stepped.insert(stepped.end(), row.begin(), row.end());
  }
  EXPECT_LE(peak_error(stepped, whole), tolerance);
  EXPECT_LE(peak_error(session_->state(), state), tolerance);
}

INSTANTIATE_TEST_SUITE_P(
    Goldens, Parity,
    ::testing::Combine(::testing::Values("text-r3-untied-mtp", "vlm-r1-tied-mtp",
                                         "text-r2-layertypes", "flat-oldrope-r3"),
                       ::testing::Values("ref", "cpu")),
    [](const auto& param) {
      std::string name = std::string(std::get<0>(param.param)) + "_" + std::get<1>(param.param);
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

TEST(ParityScope, VisionGoldens) {
  GTEST_SKIP() << "image*, tower* and mixed* of vlm-r1-tied-mtp need the vision tower, whose "
                  "tensors are set aside";
}

}  // namespace
}  // namespace sluice::test
