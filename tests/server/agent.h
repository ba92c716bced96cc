// Agents that talk to a played server as real ones do, over either protocol, with answers that were
// recorded; and what the engine read for each of their turns.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "server/played_server.h"
#include "tokenizer/tokenizer.h"

namespace sluice::test {

struct RecordedCall {
  std::string name;
  Json arguments;  // object
};
struct RecordedTurn {
  std::string reasoning, content;
  std::vector<RecordedCall> calls;
  std::vector<std::string> results;  // of the calls, in their order; none behind the last turn
};
struct RecordedConversation {
  std::string system, question;
  Json tools;  // array, in OpenAI's form
  std::vector<RecordedTurn> turns;
};

// agentic_coding.jsonl, one message a line. Throws std::runtime_error.
std::vector<RecordedConversation> read_recorded(const std::filesystem::path& file);

// A session of a coding agent, made up: about so many bytes of system prompt and tools, then so
// many turns, all but the last with `calls`. The same for the same numbers.
struct SessionShape {
  size_t bytes = 27'000, tools = 25, turns = 10, calls = 2;
  size_t said = 150;  // bytes of a thought; results grow with it
  unsigned seed = 1;
};
RecordedConversation coding_session(const SessionShape& shape);

// The answer as this family's models write it behind an open thought, to the end of the turn.
std::vector<tokenizer::TokenId> as_sampled(const RecordedTurn& turn,
                                           const tokenizer::Tokenizer& tokenizer);

enum class Habit {
  kOpenAi,       // whole answers, sent back as they came
  kOpenAiLossy,  // the same, but thoughts are dropped and arguments spelled anew
  kQwenCode,     // OpenAI's streams, in Qwen Code's form: texts in parts, arguments written by JSON
  kAnthropic,    // streams, sent back as they came
  kClaudeCode,   // the same, with all that Claude Code adds and changes from request to request
};

// What one turn cost.
struct TurnCost {
  int64_t prompt = 0, cached = 0, cached_from_disk = 0, read = 0;
  int64_t fresh = 0;    // of the prompt, behind what this server's engine had processed before
  int64_t altered = 0;  // of that, tokens that came back as others
  int64_t beyond() const { return read - fresh; }
};

struct AgentSetup {
  Habit habit = Habit::kOpenAi;
  uint64_t seed = 0;          // of the first turn; the others follow
  bool reuse_answers = true;  // as the server's
  std::vector<size_t> probes =
      {};  // turns after which the same is asked again, to be answered freely
};

class Agent final : public Client {
 public:
  // `conversation` and `tokenizer` must outlive it.
  Agent(const RecordedConversation& conversation, const tokenizer::Tokenizer& tokenizer,
        AgentSetup setup);
  ~Agent() override;

  // Goes on with this server, up to and without this turn.
  void meet(PlayedServer& server, size_t until);

  std::optional<Post> next() override;
  // Throws std::runtime_error if the reply is not what it must be, or its usage is not what the
  // engine did.
  void take(const Reply& reply) override;

  const std::vector<TurnCost>& costs() const { return costs_; }

  struct Probe {
    Post post;
    std::string answer;
  };
  const std::vector<Probe>& probes() const { return probes_; }
  static std::string probed_answer(const Reply& reply);  // all that must not change

 private:
  class Protocol;
  class OpenAi;
  class QwenCode;
  class Anthropic;
  uint64_t seed() const { return setup_.seed + costs_.size(); }

  const RecordedConversation& conversation_;
  const tokenizer::Tokenizer& tokenizer_;
  const AgentSetup setup_;
  std::unique_ptr<Protocol> protocol_;
  PlayedServer* server_ = nullptr;
  size_t until_ = 0;
  bool probing_ = false;
  std::vector<tokenizer::TokenId> known_;  // what the engine has processed of this conversation
  std::vector<tokenizer::TokenId> answer_;
  std::optional<Post> last_;
  std::vector<TurnCost> costs_;
  std::vector<Probe> probes_;
};

}  // namespace sluice::test
