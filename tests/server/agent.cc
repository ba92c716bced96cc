#include "server/agent.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "server/anthropic_stream.h"
#include "server/openai_stream.h"

namespace sluice::test {
namespace {

constexpr uint64_t kProbeSeeds = uint64_t{1} << 40;
constexpr int64_t kProbeTokens = 16;
constexpr const char* kChatPath = "/v1/chat/completions";

Json message(const char* role, Json content) {
  Json made = Json::object();
  made.set("role", role);
  made.set("content", std::move(content));
  return made;
}

Json text_block(std::string text) {
  Json block = Json::object();
  block.set("type", "text");
  block.set("text", std::move(text));
  return block;
}

Json typed(const char* type) {
  Json made = Json::object();
  made.set("type", type);
  return made;
}

int64_t number(const Json& object, std::string_view name) {
  const Json* value = object.find(name);
  const auto found = value != nullptr ? value->as_int64() : std::nullopt;
  if (!found) throw std::runtime_error(fmt::format("no number {}: {}", name, object.dump()));
  return *found;
}

// Keys in another order, other white space: what JSON libraries of clients do.
std::string spelled_anew(const std::string& arguments) {
  auto parsed = parse_json(arguments);
  if (!parsed.ok()) throw std::runtime_error("arguments that are no JSON: " + arguments);
  std::reverse(parsed->members().begin(), parsed->members().end());
  return parsed->dump(2);
}

struct Usage {
  int64_t prompt = 0, cached = 0, output = 0;
};

Usage openai_usage(const Json& body) {
  const Json& usage = *body.find("usage");
  return {number(usage, "prompt_tokens"),
          number(*usage.find("prompt_tokens_details"), "cached_tokens"),
          number(usage, "completion_tokens")};
}

}  // namespace

// One side of a protocol, with the conversation so far.
class Agent::Protocol {
 public:
  virtual ~Protocol() = default;
  virtual Post request(uint64_t seed, int64_t max_tokens) = 0;
  // The answer joins the conversation, as this client keeps it.
  virtual Usage take_answer(const Reply& reply) = 0;
  virtual void add_results(const std::vector<std::string>& results) = 0;
};

class Agent::OpenAi final : public Protocol {
 public:
  OpenAi(const RecordedConversation& conversation, bool lossy)
      : tools_(conversation.tools), lossy_(lossy) {
    if (!conversation.system.empty()) messages_.push_back(message("system", conversation.system));
    messages_.push_back(message("user", conversation.question));
  }
  Post request(uint64_t seed, int64_t max_tokens) override {
    Json body = Json::object();
    body.set("model", "replayed");
    body.set("messages", messages_);
    body.set("tools", tools_);
    body.set("temperature", 0);
    body.set("seed", static_cast<int64_t>(seed));
    body.set("max_tokens", max_tokens);
    return {kChatPath, std::move(body)};
  }
  Usage take_answer(const Reply& reply) override {
    const Json body = *parse_json(reply.body);
    Json answer = *body.find("choices")->items().front().find("message");
    ids_.clear();
    if (Json* calls = answer.find("tool_calls"); calls != nullptr && calls->is_array()) {
      for (Json& call : calls->items()) {
        ids_.push_back(call.find("id")->string());
        if (!lossy_) continue;
        Json& function = *call.find("function");
        function.set("arguments", spelled_anew(function.find("arguments")->string()));
      }
    }
    if (lossy_) {
      answer.set("reasoning", Json());
      answer.set("reasoning_content", Json());
    }
    messages_.push_back(std::move(answer));
    return openai_usage(body);
  }
  void add_results(const std::vector<std::string>& results) override {
    for (size_t i = 0; i < results.size(); ++i) {
      messages_.push_back(message("tool", results[i]));
      messages_.items().back().set("tool_call_id", ids_.at(i));
    }
  }

 private:
  const Json tools_;
  const bool lossy_;
  Json messages_ = Json::array();
  std::vector<std::string> ids_;  // of the last answer's calls
};

// QwenLM/qwen-code, packages/core/src/core/openaiContentGenerator (pipeline.ts, converter.ts): it
// keeps messages in another form and writes OpenAI's from that each time.
class Agent::QwenCode final : public Protocol {
 public:
  explicit QwenCode(const RecordedConversation& conversation) : tools_(conversation.tools) {
    if (!conversation.system.empty()) messages_.push_back(message("system", conversation.system));
    messages_.push_back(message("user", Json::Array{text_block(conversation.question)}));
  }
  Post request(uint64_t seed, int64_t max_tokens) override {
    Json body = Json::object();
    body.set("model", "replayed");
    body.set("messages", messages_);
    body.set("temperature", 0);
    body.set("max_tokens", max_tokens);
    body.set("stream", true);
    Json options = Json::object();
    options.set("include_usage", true);
    body.set("stream_options", std::move(options));
    body.set("tools", tools_);
    body.set("seed", static_cast<int64_t>(seed));
    return {kChatPath, std::move(body)};
  }
  Usage take_answer(const Reply& reply) override {
    const Json body = read_openai_stream(reply.body);
    const Json& said = *body.find("choices")->items().front().find("message");
    const std::string& text = said.find("content")->string();
    const std::string& thought = said.find("reasoning_content")->string();
    Json kept = message("assistant", text.empty() && thought.empty() ? Json() : Json(text));
    ids_.clear();
    if (const Json* calls = said.find("tool_calls")) {
      Json written = Json::array();
      for (const Json& call : calls->items()) {
        ids_.push_back(call.find("id")->string());
        Json made = call;
        Json& function = *made.find("function");
        function.set("arguments", parse_json(function.find("arguments")->string())->dump());
        written.push_back(std::move(made));
      }
      kept.set("tool_calls", std::move(written));
    }
    if (!thought.empty()) kept.set("reasoning_content", thought);
    messages_.push_back(std::move(kept));
    return openai_usage(body);
  }
  void add_results(const std::vector<std::string>& results) override {
    for (size_t i = 0; i < results.size(); ++i) {
      messages_.push_back(message(
          "tool", results[i].empty() ? Json("") : Json(Json::Array{text_block(results[i])})));
      messages_.items().back().set("tool_call_id", ids_.at(i));
    }
  }

 private:
  const Json tools_;
  Json messages_ = Json::array();
  std::vector<std::string> ids_;  // of the last answer's calls
};

class Agent::Anthropic final : public Protocol {
 public:
  Anthropic(const RecordedConversation& conversation, bool claude_code)
      : system_(conversation.system), claude_code_(claude_code) {
    for (const Json& tool : conversation.tools.items()) {
      const Json& function = *tool.find("function");
      Json made = Json::object();
      made.set("name", *function.find("name"));
      made.set("description", *function.find("description"));
      made.set("input_schema", *function.find("parameters"));
      tools_.push_back(std::move(made));
    }
    messages_.push_back(message("user", conversation.question));
    add_late_system();
  }

  Post request(uint64_t seed, int64_t max_tokens) override {
    ++requests_;
    Json body = Json::object();
    body.set("model", "claude-opus");
    body.set("max_tokens", max_tokens);
    body.set("messages", messages_);
    body.set("tools", tools_);
    body.set("system", system_);
    body.set("stream", true);
    body.set("temperature", 0);
    body.set("seed", static_cast<int64_t>(seed));
    if (!claude_code_) return {"/v1/messages", std::move(body)};
    add_what_claude_code_sends(body);
    return {"/v1/messages?beta=true", std::move(body)};
  }
  Usage take_answer(const Reply& reply) override {
    const Json answer = read_anthropic_stream(reply.body);
    ids_.clear();
    for (const Json& block : answer.find("content")->items()) {
      if (const Json* id = block.find("id")) ids_.push_back(id->string());
    }
    messages_.push_back(message("assistant", *answer.find("content")));
    const Json& usage = *answer.find("usage");
    const int64_t cached = number(usage, "cache_read_input_tokens");
    return {number(usage, "input_tokens") + cached, cached, number(usage, "output_tokens")};
  }
  void add_results(const std::vector<std::string>& results) override {
    Json::Array blocks;
    for (size_t i = 0; i < results.size(); ++i) {
      Json block = typed("tool_result");
      block.set("tool_use_id", ids_.at(i));
      block.set("content", Json::Array{text_block(results[i])});
      blocks.push_back(std::move(block));
    }
    // As they came in, not as they were asked for; and what the client has to say before them.
    if (claude_code_) {
      std::reverse(blocks.begin(), blocks.end());
      blocks.insert(
          blocks.begin(),
          text_block(fmt::format("<system-reminder>{} results</system-reminder>", results.size())));
    }
    messages_.push_back(message("user", Json(std::move(blocks))));
    add_late_system();
  }

 private:
  // Another one in each request, also in messages that were sent before.
  std::string billing_line() const {
    return fmt::format("x-anthropic-billing-header: cc_version=2.1.165; cc_entrypoint=cli; cch={};",
                       (requests_ * 2654435761u) % 1000003);
  }
  void add_late_system() {
    if (!claude_code_) return;
    const std::string note = fmt::format("Note {}: stay in the folder.", messages_.items().size());
    messages_.push_back(message("system", Json::Array{text_block(note)}));
  }
  void add_what_claude_code_sends(Json& body) const {
    const size_t half = system_.find('\n', system_.size() / 2);
    Json::Array system = {text_block(billing_line()), text_block(system_.substr(0, half)),
                          text_block(system_.substr(std::min(half + 1, system_.size())))};
    Json control = typed("ephemeral");
    system.back().set("cache_control", control);
    body.set("system", std::move(system));
    for (Json& late : body.find("messages")->items()) {
      if (late.find("role")->string() != "system") continue;
      Json& block = late.find("content")->items().front();
      block.set("text", billing_line() + "\n" + block.find("text")->string());
    }
    body.find("tools")->items().back().set("cache_control", control);
    body.set("max_tokens", 32000);
    body.set("thinking", typed("adaptive"));
    Json effort = Json::object();
    effort.set("effort", "high");
    body.set("output_config", std::move(effort));
    Json user = Json::object();
    user.set("user_id", fmt::format("session-{}", requests_));
    body.set("metadata", std::move(user));
    body.set("context_management", Json::object());
  }

  const std::string system_;
  const bool claude_code_;
  Json tools_ = Json::array(), messages_ = Json::array();
  std::vector<std::string> ids_;
  uint64_t requests_ = 0;
};

Agent::Agent(const RecordedConversation& conversation, const tokenizer::Tokenizer& tokenizer,
             AgentSetup setup)
    : conversation_(conversation), tokenizer_(tokenizer), setup_(std::move(setup)) {
  switch (setup_.habit) {
    case Habit::kOpenAi:
    case Habit::kOpenAiLossy:
      protocol_ = std::make_unique<OpenAi>(conversation, setup_.habit == Habit::kOpenAiLossy);
      break;
    case Habit::kQwenCode:
      protocol_ = std::make_unique<QwenCode>(conversation);
      break;
    case Habit::kAnthropic:
    case Habit::kClaudeCode:
      protocol_ = std::make_unique<Anthropic>(conversation, setup_.habit == Habit::kClaudeCode);
      break;
  }
}

Agent::~Agent() = default;

void Agent::meet(PlayedServer& server, size_t until) {
  server_ = &server;
  until_ = std::min(until, conversation_.turns.size());
}

std::optional<Post> Agent::next() {
  const size_t done = costs_.size();
  const auto& probed = setup_.probes;
  probing_ = last_ && done > 0 && std::find(probed.begin(), probed.end(), done - 1) != probed.end();
  if (probing_) {
    Post probe = *std::exchange(last_, std::nullopt);
    probe.body.set("seed", static_cast<int64_t>(kProbeSeeds + setup_.seed + done));
    probe.body.set("max_tokens", kProbeTokens);
    probe.body.set("temperature", 1);
    probe.body.set("stream", false);
    if (Json* options = probe.body.find("stream_options")) *options = Json();
    if (probe.path == kChatPath) probe.body.set("logprobs", true);
    probes_.push_back({probe, ""});
    return probe;
  }
  if (done >= until_) return std::nullopt;
  answer_ = as_sampled(conversation_.turns[done], tokenizer_);
  server_->play(seed(), answer_);
  last_ = protocol_->request(seed(), static_cast<int64_t>(answer_.size()) + 4096);
  return last_;
}

void Agent::take(const Reply& reply) {
  if (reply.status != 200)
    throw std::runtime_error(fmt::format("{}: {}", reply.status, reply.body));
  if (probing_) {
    probes_.back().answer = probed_answer(reply);
    return;
  }
  const EngineAccount account = server_->account(seed());
  const Usage usage = protocol_->take_answer(reply);
  TurnCost cost;
  cost.prompt = static_cast<int64_t>(account.prompt.size());
  cost.cached = account.cached;
  cost.cached_from_disk = account.cached_from_disk;
  cost.read = account.read;
  const auto parts =
      std::mismatch(known_.begin(), known_.end(), account.prompt.begin(), account.prompt.end());
  cost.fresh = account.prompt.end() - parts.second;
  cost.altered = known_.end() - parts.first;
  const bool agrees = usage.prompt == cost.prompt && usage.cached == cost.prompt - cost.read &&
                      usage.output == account.answered &&
                      account.answered == static_cast<int64_t>(answer_.size());
  if (!agrees) {
    throw std::runtime_error(
        fmt::format("turn {}: usage says {} of {} cached and {} answered, the engine read {} of {} "
                    "and gave {} of {}",
                    costs_.size(), usage.cached, usage.prompt, usage.output, cost.read, cost.prompt,
                    account.answered, answer_.size()));
  }
  known_ = account.prompt;
  if (setup_.reuse_answers) known_.insert(known_.end(), answer_.begin(), answer_.end());
  const RecordedTurn& turn = conversation_.turns[costs_.size()];
  costs_.push_back(cost);
  if (!turn.results.empty()) protocol_->add_results(turn.results);
}

std::string Agent::probed_answer(const Reply& reply) {
  const auto body = parse_json(reply.body);
  if (reply.status != 200 || !body.ok())
    throw std::runtime_error(fmt::format("{}: {}", reply.status, reply.body));
  const Json* choices = body->find("choices");
  return (choices != nullptr ? choices : body->find("content"))->dump();
}

}  // namespace sluice::test
