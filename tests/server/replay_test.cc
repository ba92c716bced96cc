// Conversations from body to engine and back, turn by turn, as a client sends them: what the engine
// reads of each.
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <stdexcept>

#include "chat/turn_memory.h"
#include "runtime/golden_model.h"
#include "server/core/encoder.h"
#include "server/core/engine_request.h"
#include "server/core/prompt.h"
#include "server/model_fixture.h"
#include "support/paths.h"

namespace sluice::server {
namespace {

const test::GoldenModel& tiny() {
  static const test::GoldenModel model(test::tests_folder() / "model" / "data" / "tiny",
                                       {"cpu", 2, std::nullopt});
  return model;
}

ModelText text_of_context(int64_t context) {
  ModelText text = test::model_text();
  text.context = context;
  text.stop_ids = {*text.tokenizer->find_added("<|im_end|>")};
  return text;
}

std::unique_ptr<runtime::Engine> engine_of(int64_t context, uint64_t prefix_cache) {
  runtime::EngineShape shape;
  shape.context = context;
  shape.draft_depth = 1;
  shape.kv = ops::KvFormat::kF32;
  shape.prefix_cache = prefix_cache;
  return tiny().engine(shape);
}

Json message(const char* role, const std::string& content) {
  Json made = Json::object();
  made.set("role", role);
  made.set("content", content);
  return made;
}

struct Turn {
  test::Answer raw;
  WholeChoice shown;
  std::vector<TokenId> prompt;
};

// The server's way for one choice (Generator::Run), without connections.
Turn take_turn(runtime::Engine& engine, const ModelText& text, const Json& messages,
               const Replay& replay, int64_t max_tokens) {
  GenerationRequest request;
  Json body = Json::object();
  body.set("messages", messages);
  request.conversation = Conversation{body, false, true};
  request.max_tokens = max_tokens;
  request.sampling.temperature = 1.0;
  request.sampling.seed = static_cast<int64_t>(messages.items().size());
  request.sampling.logit_bias = {{text.stop_ids.front(), 2.5f}};
  auto prompts = prepare_prompts(request, text, replay);
  if (!prompts.ok()) throw std::runtime_error(prompts.error().message);
  const PreparedPrompt& prompt = prompts->front();
  auto made = make_engine_request(request, prompt, 0, 1, text, {});
  if (!made.ok()) throw std::runtime_error(made.error().message());
  made->reuse_answers = replay.memory != nullptr;
  Turn turn;
  turn.prompt = prompt.ids;
  if (!engine.submit(*made, turn.raw).ok()) throw std::runtime_error("refused");
  engine.run_until_idle();
  Answer answer(request, *text.tokenizer, text.stop_ids, prompt.thinking_open);
  for (const auto& token : turn.raw.tokens) {
    for (const AnswerEvent& event : answer.on_token(token)) turn.shown.add(event);
  }
  for (const AnswerEvent& event : answer.on_finish(turn.raw.report)) turn.shown.add(event);
  if (replay.memory != nullptr && turn.raw.report.stop_id) {
    std::vector<TokenId> tokens = prompt.turn.tokens;
    tokens.insert(tokens.end(), turn.raw.ids.begin(), turn.raw.ids.end());
    replay.memory->remember(replay.scope, prompt.turn.place, turn.shown.message(),
                            std::move(tokens));
  }
  return turn;
}

TEST(ConversationReplay, AnswersComeBackAsTheTokensThatWereSampled) {
  const ModelText text = text_of_context(2048);
  const auto engine = engine_of(2048, 8 << 20);
  chat::TurnMemory memory(1 << 20);
  const Replay replay{&memory, "somebody"};
  Json messages = Json::array();
  messages.push_back(message("system", "Be brief. " + std::string(150, 's')));
  messages.push_back(message("user", "Hello."));
  int64_t before = 0, whole_turns = 0;
  for (int turn = 0; turn < 12; ++turn) {
    const Turn made = take_turn(*engine, text, messages, replay, 60);
    const runtime::RequestReport& report = made.raw.report;
    EXPECT_TRUE(engine->intact());
    // All of the last prompt and answer but the token that was sampled last.
    if (before > 0) {
      EXPECT_EQ(report.cached_tokens, before - 1) << "turn " << turn;
    }
    // A cut answer is rendered anew; so is an empty thought, which this template leaves out.
    const bool whole = report.stop_id && !made.shown.reasoning.empty();
    before = whole ? static_cast<int64_t>(made.prompt.size() + made.raw.ids.size()) : 0;
    whole_turns += whole ? 1 : 0;
    // As clients do it: white space goes.
    Json reply = made.shown.message();
    reply.set("content", "\n" + made.shown.content + "  ");
    messages.push_back(std::move(reply));
    messages.push_back(message("user", "And then? " + std::to_string(turn)));
  }
  EXPECT_GE(whole_turns, 8);
}

TEST(ConversationReplay, AnotherUserIsNotServedFromIt) {
  const ModelText text = text_of_context(1024);
  const auto engine = engine_of(1024, 8 << 20);
  chat::TurnMemory memory(1 << 20);
  Json messages = Json::array();
  messages.push_back(message("user", "Hello."));
  Turn first = take_turn(*engine, text, messages, {&memory, "one"}, 200);
  ASSERT_TRUE(first.raw.report.stop_id);
  messages.push_back(first.shown.message());
  messages.push_back(message("user", "More."));
  const Turn other = take_turn(*engine, text, messages, {&memory, "two"}, 5);
  const Turn same = take_turn(*engine, text, messages, {&memory, "one"}, 5);
  EXPECT_EQ(same.raw.report.cached_tokens,
            static_cast<int64_t>(first.prompt.size() + first.raw.ids.size()) - 1);
  EXPECT_TRUE(std::equal(first.raw.ids.begin(), first.raw.ids.end(),
                         same.prompt.begin() + static_cast<ptrdiff_t>(first.prompt.size())));
  EXPECT_LT(other.raw.report.cached_tokens, same.raw.report.cached_tokens);
}

// The record as messages, texts cut to so many bytes and to ASCII, so that no character is cut.
void append_record(const Json& record, const std::string& role, size_t most, Json& messages) {
  const auto cut = [&](const Json* text) {
    std::string part =
        text != nullptr && text->is_string() ? text->string().substr(0, most) : std::string();
    for (char& c : part) c = static_cast<unsigned char>(c) < 0x80 ? c : '?';
    return part;
  };
  if (role == "tool") {
    for (const Json& result : record.find("tool_results")->items()) {
      messages.push_back(message("tool", cut(result.find("content"))));
      messages.items().back().set("tool_call_id", *result.find("tool_call_id"));
    }
    return;
  }
  Json made = message(role.c_str(), cut(record.find("content")));
  if (role == "assistant") made.set("reasoning_content", cut(record.find("reasoning_content")));
  if (const Json* calls = record.find("tool_calls"); calls != nullptr && calls->is_array())
    made.set("tool_calls", *calls);
  messages.push_back(std::move(made));
}

// Recorded conversations of an agent, every message cut to a few hundred bytes (the tiny model's
// tokens are bytes), answers read as prompt: new tokens and at most 63 before them, and the same
// bytes as a cold server's.
TEST(ConversationReplay, RecordedAgentsReadOnlyWhatIsNew) {
  SLUICE_REQUIRE_SHARED(path, "data/mlperf-edge-agentic/agentic_coding.jsonl");
  constexpr int64_t kContext = 8192;
  constexpr size_t kMostBytes = 250, kConversations = 2, kTurns = 10;
  const ModelText text = text_of_context(kContext);
  const auto cached = engine_of(kContext, 16 << 20), cold = engine_of(kContext, 0);
  std::ifstream file(path);
  std::string line, conversation;
  Json messages = Json::array();
  size_t conversations = 0, turns = 0;
  int64_t before = 0, compared = 0;
  std::vector<TokenId> last;
  while (std::getline(file, line)) {
    const Json record = *parse_json(line);
    if (record.find("conversation_id")->string() != conversation) {
      if (++conversations > kConversations) break;
      conversation = record.find("conversation_id")->string();
      messages = Json::array();
      last.clear();
      turns = 0;
    }
    const std::string role = record.find("role")->string();
    if (turns < kTurns && role == "assistant") {
      const Turn turn = take_turn(*cached, text, messages, {}, 2);
      const auto parts =
          std::mismatch(last.begin(), last.end(), turn.prompt.begin(), turn.prompt.end());
      const int64_t known = parts.first - last.begin();
      EXPECT_LE(known - turn.raw.report.cached_tokens, 63) << conversation << " turn " << turns;
      EXPECT_TRUE(cached->intact());
      last = turn.prompt;
      before += known;
      ++turns;
      if (turns == kTurns) {
        const Turn expected = take_turn(*cold, text, messages, {}, 2);
        EXPECT_EQ(turn.raw.ids, expected.raw.ids);
        ++compared;
      }
    }
    append_record(record, role, kMostBytes, messages);
  }
  EXPECT_EQ(compared, static_cast<int64_t>(kConversations));
  EXPECT_GT(before, 1000);
}

}  // namespace
}  // namespace sluice::server
