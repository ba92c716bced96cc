#include "server/anthropic_stream.h"

#include <fmt/format.h>

#include <optional>
#include <stdexcept>

#include "server/begins_json.h"

namespace sluice::test {
namespace {

[[noreturn]] void broken(std::string_view what, const Json& event) {
  throw std::runtime_error(fmt::format("{}: {}", what, event.dump()));
}

const std::string& text_of(const Json& object, std::string_view name) {
  const Json* value = object.find(name);
  if (value == nullptr || !value->is_string()) broken(fmt::format("no string {}", name), object);
  return value->string();
}

const Json& member(const Json& object, std::string_view name) {
  const Json* value = object.find(name);
  if (value == nullptr) broken(fmt::format("no {}", name), object);
  return *value;
}

// Where a stream may stand.
class Grammar {
 public:
  void event(const std::string& type, const Json& data) {
    if (over_) broken("an event behind the end", data);
    if (type == "ping") {
      if (!started_) broken("a ping before the message", data);
    } else if (type == "message_start") {
      start(data);
    } else if (!started_) {
      broken("an event before message_start", data);
    } else if (type == "content_block_start") {
      open(data);
    } else if (type == "content_block_delta") {
      delta(data);
    } else if (type == "content_block_stop") {
      close(data);
    } else if (type == "message_delta") {
      finish(data);
    } else if (type == "message_stop") {
      if (!finished_) broken("message_stop before message_delta", data);
      over_ = true;
    } else {
      broken("an event of no known type", data);
    }
  }
  Json message() const {
    if (!over_) throw std::runtime_error("the stream ends before message_stop");
    return message_;
  }

 private:
  void start(const Json& data) {
    if (started_) broken("a second message_start", data);
    started_ = true;
    message_ = member(data, "message");
    if (!member(message_, "content").items().empty() ||
        !text_of(message_, "id").starts_with("msg_") ||
        !member(message_, "stop_reason").is_null() || !member(message_, "usage").is_object())
      broken("not an empty message", data);
  }
  void check_index(const Json& data) const {
    const auto count = static_cast<int64_t>(member(message_, "content").items().size());
    if (member(data, "index").as_int64() != count) broken("an index out of order", data);
  }
  void open(const Json& data) {
    if (block_ || finished_) broken("a block within a block or behind the last", data);
    check_index(data);
    block_ = member(data, "content_block");
    kind_ = text_of(*block_, "type");
    const bool empty = kind_ == "thinking"   ? text_of(*block_, "thinking").empty()
                       : kind_ == "text"     ? text_of(*block_, "text").empty()
                       : kind_ == "tool_use" ? member(*block_, "input").members().empty() &&
                                                   text_of(*block_, "id").starts_with("toolu_")
                                             : false;
    if (!empty) broken("a block that does not begin empty", data);
    text_.clear();
  }
  void delta(const Json& data) {
    if (!block_) broken("a delta without a block", data);
    check_index(data);
    const Json& change = member(data, "delta");
    const std::string& type = text_of(change, "type");
    if (kind_ == "thinking" && type == "signature_delta") {
      if (!text_of(*block_, "signature").empty()) broken("a second signature", data);
      block_->set("signature", text_of(change, "signature"));
    } else if (kind_ == "thinking" && type == "thinking_delta") {
      if (!text_of(*block_, "signature").empty()) broken("a thought behind its signature", data);
      text_ += text_of(change, "thinking");
    } else if (kind_ == "text" && type == "text_delta") {
      text_ += text_of(change, "text");
    } else if (kind_ == "tool_use" && type == "input_json_delta") {
      text_ += text_of(change, "partial_json");
      if (!begins_json(text_)) broken("arguments that do not begin JSON", data);
    } else {
      broken("a delta that is not of its block's kind", data);
    }
  }
  void close(const Json& data) {
    if (!block_) broken("the end of no block", data);
    check_index(data);
    if (kind_ == "tool_use") {
      auto input = parse_json(text_.empty() ? "{}" : text_);
      if (!input.ok() || !input->is_object()) broken("arguments that are no object", data);
      block_->set("input", std::move(*input));
    } else {
      block_->set(kind_, text_);
    }
    if (kind_ == "thinking" && text_of(*block_, "signature").empty())
      broken("a thought without a signature", data);
    message_.find("content")->push_back(std::move(*block_));
    block_.reset();
  }
  void finish(const Json& data) {
    if (block_ || finished_) broken("message_delta within a block or twice", data);
    finished_ = true;
    const Json& change = member(data, "delta");
    message_.set("stop_reason", text_of(change, "stop_reason"));
    message_.set("stop_sequence", member(change, "stop_sequence"));
    const Json& usage = member(data, "usage");
    if (!member(usage, "output_tokens").as_int64()) broken("no output_tokens", data);
    // Clients that read the first event only must see the same prompt.
    const Json& first = member(message_, "usage");
    for (const char* name : {"input_tokens", "cache_read_input_tokens"}) {
      if (usage.find(name) != nullptr && *usage.find(name) != member(first, name))
        broken(fmt::format("another {} than at the start", name), data);
    }
    for (const auto& [name, value] : usage.members()) message_.find("usage")->set(name, value);
    bool calls = false;
    for (const Json& block : member(message_, "content").items())
      calls = calls || text_of(block, "type") == "tool_use";
    if (calls != (text_of(message_, "stop_reason") == "tool_use"))
      broken("a reason that does not fit the calls", message_);
  }

  bool started_ = false, finished_ = false, over_ = false;
  Json message_;
  std::optional<Json> block_;
  std::string kind_, text_;
};

}  // namespace

Json read_anthropic_stream(std::string_view stream) {
  Grammar grammar;
  while (!stream.empty()) {
    const size_t end = stream.find("\n\n");
    if (end == std::string_view::npos) throw std::runtime_error("an event without its empty line");
    const std::string_view event = stream.substr(0, end);
    stream.remove_prefix(end + 2);
    const size_t line = event.find('\n');
    constexpr std::string_view kEvent = "event: ", kData = "data: ";
    if (line == std::string_view::npos || !event.starts_with(kEvent) ||
        !event.substr(line + 1).starts_with(kData))
      throw std::runtime_error(fmt::format("not the two lines of an event: {}", event));
    const std::string type(event.substr(kEvent.size(), line - kEvent.size()));
    const auto data = parse_json(event.substr(line + 1 + kData.size()));
    if (!data.ok()) throw std::runtime_error(fmt::format("data that is no JSON: {}", event));
    if (text_of(*data, "type") != type) broken("two types in one event", *data);
    grammar.event(type, *data);
  }
  return grammar.message();
}

}  // namespace sluice::test
