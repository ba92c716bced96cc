// Conversations for agents: recorded ones, and one that is made up.
#include <fmt/format.h>

#include <fstream>
#include <random>
#include <stdexcept>

#include "server/agent.h"

namespace sluice::test {
namespace {

std::string text_or_empty(const Json& record, std::string_view name) {
  const Json* value = record.find(name);
  return value != nullptr && value->is_string() ? value->string() : std::string();
}

RecordedTurn recorded_answer(const Json& record) {
  RecordedTurn turn;
  turn.reasoning = text_or_empty(record, "reasoning_content");
  turn.content = text_or_empty(record, "content");
  const Json* calls = record.find("tool_calls");
  if (calls == nullptr || !calls->is_array()) return turn;
  for (const Json& call : calls->items()) {
    const Json& function = *call.find("function");
    auto arguments = parse_json(function.find("arguments")->string());
    if (!arguments.ok() || !arguments->is_object())
      throw std::runtime_error("arguments that are no object: " + call.dump());
    turn.calls.push_back({function.find("name")->string(), std::move(*arguments)});
  }
  return turn;
}

Json typed(const char* type) {
  Json made = Json::object();
  made.set("type", type);
  return made;
}

// Words without end, the same for the same seed.
class Prose {
 public:
  explicit Prose(unsigned seed) : random_(seed) {}
  std::string operator()(size_t bytes) {
    static constexpr const char* kWords[] = {
        "file", "search", "before", "never", "result", "user",  "path", "reads", "a",
        "the",  "limit",  "lines",  "shell", "Käse",   "error", "when", "écrit", "tool"};
    std::string text;
    while (text.size() < bytes) {
      if (!text.empty()) text += random_() % 11 == 0 ? ".\n" : " ";
      text += kWords[random_() % std::size(kWords)];
    }
    return text;
  }

 private:
  std::mt19937 random_;
};

Json made_up_tool(size_t number, size_t bytes, Prose& prose) {
  Json properties = Json::object();
  for (const char* name : {"file_path", "pattern", "limit"}) {
    Json property = typed(name == std::string_view("limit") ? "integer" : "string");
    property.set("description", prose(bytes / 8));
    properties.set(name, std::move(property));
  }
  Json parameters = typed("object");
  parameters.set("properties", std::move(properties));
  parameters.set("required", Json::Array{"file_path"});
  Json function = Json::object();
  function.set("name", fmt::format("Tool{}", number));
  function.set("description", prose(bytes / 2));
  function.set("parameters", std::move(parameters));
  Json tool = typed("function");
  tool.set("function", std::move(function));
  return tool;
}

}  // namespace

std::vector<RecordedConversation> read_recorded(const std::filesystem::path& file) {
  std::ifstream lines(file);
  std::vector<RecordedConversation> conversations;
  std::string line, id;
  while (std::getline(lines, line)) {
    auto parsed = parse_json(line);
    if (!parsed.ok()) throw std::runtime_error(file.string() + ": " + parsed.error().message());
    const Json& record = *parsed;
    const std::string role = text_or_empty(record, "role");
    if (text_or_empty(record, "conversation_id") != id) {
      id = text_or_empty(record, "conversation_id");
      conversations.emplace_back();
    }
    RecordedConversation& conversation = conversations.back();
    if (role == "user") {
      if (!conversation.question.empty()) throw std::runtime_error(id + ": a second question");
      conversation.system = text_or_empty(record, "system");
      conversation.question = text_or_empty(record, "content");
      conversation.tools = *record.find("tools");
    } else if (role == "assistant") {
      conversation.turns.push_back(recorded_answer(record));
    } else {
      for (const Json& result : record.find("tool_results")->items())
        conversation.turns.back().results.push_back(text_or_empty(result, "content"));
    }
  }
  return conversations;
}

RecordedConversation coding_session(const SessionShape& shape) {
  Prose prose(shape.seed);
  RecordedConversation session;
  session.system = prose(shape.bytes / 3);
  session.question = "Make the tests pass. " + prose(200);
  session.tools = Json::array();
  for (size_t i = 0; i < shape.tools; ++i)
    session.tools.push_back(made_up_tool(i, shape.bytes * 2 / 3 / shape.tools, prose));
  for (size_t i = 0; i < shape.turns; ++i) {
    RecordedTurn turn;
    turn.reasoning = prose(shape.said + i * 17 % 60);
    if (i % 3 != 1) turn.content = prose(40 + i);
    for (size_t call = 0; call < shape.calls && i + 1 < shape.turns; ++call) {
      Json arguments = Json::object();
      arguments.set("pattern", fmt::format("\"quoted\" \\ {}\n<{}>", prose(20), i));
      arguments.set("limit", static_cast<int64_t>(10 * i + call));
      arguments.set("file_path", fmt::format("/src/{}.cc", prose(5)));
      turn.calls.push_back({fmt::format("Tool{}", (i + call) % shape.tools), std::move(arguments)});
      turn.results.push_back(
          fmt::format("result {} of turn {}: {}", call, i, prose(shape.said / 2 + i * 29)));
    }
    session.turns.push_back(std::move(turn));
  }
  return session;
}

std::vector<tokenizer::TokenId> as_sampled(const RecordedTurn& turn,
                                           const tokenizer::Tokenizer& tokenizer) {
  std::string text;
  std::vector<tokenizer::TextRange> data;  // markers within it are text
  const auto add = [&](const std::string& piece) {
    if (!piece.empty()) data.push_back({text.size(), text.size() + piece.size()});
    text += piece;
  };
  add(turn.reasoning);
  text += "\n</think>\n\n";
  add(turn.content);
  for (size_t i = 0; i < turn.calls.size(); ++i) {
    if (i > 0) text += "\n";
    if (i == 0 && !turn.content.empty()) text += "\n\n";
    text += "<tool_call>\n<function=" + turn.calls[i].name + ">\n";
    for (const auto& [name, value] : turn.calls[i].arguments.members()) {
      text += "<parameter=" + name + ">\n";
      add(value.is_string() ? value.string() : value.dump());
      text += "\n</parameter>\n";
    }
    text += "</function>\n</tool_call>";
  }
  text += "<|im_end|>";
  auto ids = tokenizer.encode(text, {.recognise_added = true, .literal = data});
  if (!ids.ok()) throw std::runtime_error(ids.error().message());
  return std::move(*ids);
}

}  // namespace sluice::test
