// A prompt is read once (design.md P4): whole conversations of agents through the server, over both
// protocols, on a real engine; what it reads of each turn, and that no byte shows it. The recorded
// conversations in full are benchmarks/replay's.
#include <gtest/gtest.h>

#include "base/file.h"
#include "server/agent.h"
#include "server/model_fixture.h"
#include "support/paths.h"

namespace sluice::test {
namespace {

const GoldenModel& tiny() {
  static const GoldenModel model(tests_folder() / "model" / "data" / "tiny",
                                 {"cpu", 1, std::nullopt});
  return model;
}

// The tiny model's tokenizer, the family's own template.
const server::ModelText& text() {
  static const auto chat_template = [] {
    const auto source =
        read_file(tests_folder().parent_path() / "models/sprout/chat_template.jinja", 1 << 20);
    auto parsed = chat::ChatTemplate::parse(source.ok() ? *source : "");
    return std::move(*parsed);
  }();
  static const server::ModelText made = [] {
    server::ModelText model = model_text();
    model.chat_template = &chat_template;
    model.names = {"replayed"};
    model.stop_ids = {*model.tokenizer->find_added("<|im_end|>")};
    return model;
  }();
  return made;
}

runtime::EngineShape shape_of(int64_t context, uint64_t prefix_cache) {
  runtime::EngineShape shape;
  shape.context = context;
  shape.sequences = 2;
  shape.draft_depth = 1;
  shape.kv = ops::KvFormat::kF32;
  shape.prefix_cache = prefix_cache;
  return shape;
}

constexpr size_t kTurns = 4;

// Two short conversations at once: they share neither prompt nor tools.
struct Pair {
  explicit Pair(AgentSetup setup) {
    for (unsigned i = 0; i < 2; ++i) {
      conversations.push_back(coding_session(
          {.bytes = 300, .tools = 2, .turns = kTurns, .calls = 1, .said = 40, .seed = 7 + i}));
    }
    for (const RecordedConversation& conversation : conversations) {
      agents.push_back(std::make_unique<Agent>(conversation, *text().tokenizer, setup));
      setup.seed += 1000;
    }
  }
  void meet(PlayedServer& server, size_t until) {
    std::vector<Client*> clients;
    for (const auto& agent : agents) {
      agent->meet(server, until);
      clients.push_back(agent.get());
    }
    server.run(clients);
  }
  std::vector<RecordedConversation> conversations;
  std::vector<std::unique_ptr<Agent>> agents;
};

constexpr int64_t kContext = 16'384;
constexpr uint64_t kAmple = 16 << 20;

class AgentReplay : public testing::TestWithParam<Habit> {};

TEST_P(AgentReplay, ContinuesItsAnswers) {
  PlayedServer server(tiny(), text(), {shape_of(kContext, kAmple)});
  Pair pair({.habit = GetParam()});
  pair.meet(server, kTurns);
  for (const auto& agent : pair.agents) {
    ASSERT_EQ(agent->costs().size(), kTurns);
    for (size_t turn = 1; turn < kTurns; ++turn) {
      const TurnCost& cost = agent->costs()[turn];
      EXPECT_EQ(cost.altered, 0) << "turn " << turn;
      // The answer's last token was sampled and never read.
      EXPECT_EQ(cost.beyond(), 1) << "turn " << turn;
    }
  }
}

TEST_P(AgentReplay, ReadsAnswersAnewAsAColdServer) {
  AgentSetup setup{.habit = GetParam(), .reuse_answers = false, .probes = {2}};
  Pair pair(setup);
  {
    PlayedServer server(tiny(), text(), {shape_of(kContext, kAmple), false});
    pair.meet(server, kTurns);
  }
  PlayedServer cold(tiny(), text(), {shape_of(kContext, 0), false});
  for (const auto& agent : pair.agents) {
    for (size_t turn = 1; turn < kTurns; ++turn) {
      EXPECT_LE(agent->costs()[turn].beyond(), 63) << "turn " << turn;
      EXPECT_GT(agent->costs()[turn].cached, 0) << "turn " << turn;
    }
    ASSERT_EQ(agent->probes().size(), 1u);
    for (const Agent::Probe& probe : agent->probes())
      EXPECT_EQ(Agent::probed_answer(cold.ask(probe.post)), probe.answer);
  }
}

TEST_P(AgentReplay, GoesOnAfterARestart) {
  for (const bool reuse : {true, false}) {
    if (!reuse && GetParam() == Habit::kOpenAiLossy) continue;
    const TemporaryFolder folder;
    runtime::EngineShape shape = shape_of(kContext, kAmple);
    shape.disk = {folder.path().string(), 256 << 20, "tiny"};
    Pair pair({.habit = GetParam(), .reuse_answers = reuse});
    for (const size_t until : {kTurns / 2, kTurns}) {
      PlayedServer server(tiny(), text(), {shape, reuse});
      pair.meet(server, until);
    }
    for (const auto& agent : pair.agents) {
      const TurnCost& first = agent->costs()[kTurns / 2];
      EXPECT_EQ(first.cached_from_disk, first.cached);
      EXPECT_LE(first.beyond(), 63) << "reuse " << reuse;
      if (reuse) {
        EXPECT_EQ(first.altered, 0);
      }
    }
  }
}

std::string habit_name(const testing::TestParamInfo<Habit>& tested) {
  switch (tested.param) {
    case Habit::kOpenAi:
      return "OpenAi";
    case Habit::kOpenAiLossy:
      return "OpenAiLossy";
    case Habit::kQwenCode:
      return "QwenCode";
    case Habit::kAnthropic:
      return "Anthropic";
    case Habit::kClaudeCode:
      return "ClaudeCode";
  }
  return "";
}
INSTANTIATE_TEST_SUITE_P(Clients, AgentReplay,
                         testing::Values(Habit::kOpenAiLossy, Habit::kQwenCode, Habit::kAnthropic),
                         habit_name);

// What Claude Code sends, smaller (of its size by hand: benchmarks/replay): a changing billing line
// first, a system message last, adaptive thinking, results not in the order of their calls. Every
// stream is read strictly.
TEST(ClaudeCode, AChainOfTurnsReadsOnlyWhatIsNew) {
  const RecordedConversation session = coding_session({.bytes = 2000, .tools = 4, .said = 30});
  Agent agent(session, *text().tokenizer, {.habit = Habit::kClaudeCode});
  PlayedServer server(tiny(), text(), {shape_of(2 * kContext, kAmple)});
  agent.meet(server, session.turns.size());
  Client* client = &agent;
  server.run({&client, 1});
  ASSERT_EQ(agent.costs().size(), 10u);
  EXPECT_GE(agent.costs().front().prompt, 3'500);
  for (size_t turn = 1; turn < 10; ++turn) {
    const TurnCost& cost = agent.costs()[turn];
    EXPECT_EQ(cost.altered, 0) << "turn " << turn;
    EXPECT_EQ(cost.beyond(), 1) << "turn " << turn;
    EXPECT_LT(cost.fresh, 1200) << "turn " << turn;
  }
}

}  // namespace
}  // namespace sluice::test
