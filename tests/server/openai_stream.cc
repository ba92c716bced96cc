#include "server/openai_stream.h"

#include <fmt/format.h>

#include <stdexcept>
#include <string>

#include "server/begins_json.h"

namespace sluice::test {
namespace {

[[noreturn]] void broken(std::string_view what, const Json& chunk) {
  throw std::runtime_error(fmt::format("{}: {}", what, chunk.dump()));
}

const Json& member(const Json& object, std::string_view name) {
  const Json* value = object.find(name);
  if (value == nullptr) broken(fmt::format("no {}", name), object);
  return *value;
}

const std::string& text_of(const Json& object, std::string_view name) {
  const Json& value = member(object, name);
  if (!value.is_string()) broken(fmt::format("{} is no string", name), object);
  return value.string();
}

// Where a stream may stand.
class Order {
 public:
  void chunk(const Json& data) {
    if (told_) broken("a chunk behind the usage", data);
    same_in_all(data);
    const auto& choices = member(data, "choices").items();
    if (choices.empty()) return usage(data);
    if (choices.size() != 1 || member(choices[0], "index").as_int64() != 0)
      broken("not the one choice", data);
    if (!member(data, "usage").is_null()) broken("usage before the end", data);
    if (finished_) broken("a delta behind the finish", data);
    const Json& delta = member(choices[0], "delta");
    const Json& finish = member(choices[0], "finish_reason");
    if (!started_) {
      if (delta.dump() != R"({"role":"assistant","content":""})" || !finish.is_null())
        broken("not the role first", data);
      started_ = true;
    } else if (!finish.is_null()) {
      if (!delta.members().empty()) broken("a finish with a delta", data);
      finish_ = finish;
      finished_ = true;
    } else {
      add(delta, data);
    }
  }
  void done() {
    if (over_) throw std::runtime_error("a second [DONE]");
    if (!told_) throw std::runtime_error("[DONE] before the usage");
    over_ = true;
  }
  bool over() const { return over_; }

  Json body() const {
    if (!over_) throw std::runtime_error("the stream ends before [DONE]");
    Json message = Json::object();
    message.set("role", "assistant");
    message.set("content", content_);
    message.set("reasoning_content", reasoning_);
    if (!calls_.items().empty()) message.set("tool_calls", calls_);
    if (calls_.items().empty() == (finish_ == Json("tool_calls")))
      broken("a reason that does not fit the calls", message);
    for (const Json& call : calls_.items()) {
      const auto arguments = parse_json(text_of(member(call, "function"), "arguments"));
      if (!arguments.ok() || !arguments->is_object()) broken("arguments that are no object", call);
    }
    Json choice = Json::object();
    choice.set("message", std::move(message));
    choice.set("finish_reason", finish_);
    Json body = Json::object();
    body.set("choices", Json::Array{std::move(choice)});
    body.set("usage", usage_);
    return body;
  }

 private:
  void same_in_all(const Json& data) {
    for (const char* name : {"id", "created", "model", "object"}) {
      const Json& value = member(data, name);
      if (!common_.find(name)) common_.set(name, value);
      if (*common_.find(name) != value) broken(fmt::format("another {}", name), data);
    }
    if (text_of(data, "object") != "chat.completion.chunk") broken("not a chunk", data);
  }
  void usage(const Json& data) {
    if (!finished_) broken("the usage before the finish", data);
    usage_ = member(data, "usage");
    if (!usage_.is_object()) broken("no usage", data);
    told_ = true;
  }
  void add(const Json& delta, const Json& data) {
    const Json* content = delta.find("content");
    const Json* calls = delta.find("tool_calls");
    const Json* reasoning = delta.find("reasoning_content");
    if (delta.find("role") != nullptr ||
        (content != nullptr) + (calls != nullptr) + (reasoning != nullptr) != 1)
      broken("not one kind of delta", data);
    if (content != nullptr) {
      content_ += text_of(delta, "content");
    } else if (reasoning != nullptr) {
      if (*reasoning != member(delta, "reasoning")) broken("two different thoughts", data);
      reasoning_ += text_of(delta, "reasoning_content");
    } else {
      for (const Json& call : calls->items()) add_call(call, data);
    }
  }
  void add_call(const Json& call, const Json& data) {
    const Json& function = member(call, "function");
    const std::string& arguments = text_of(function, "arguments");
    const auto known = static_cast<int64_t>(calls_.items().size());
    const auto index = member(call, "index").as_int64();
    if (call.find("id") != nullptr) {
      if (index != known || text_of(call, "type") != "function" ||
          text_of(function, "name").empty() || !arguments.empty())
        broken("a call that does not begin as one", data);
      Json made = Json::object();
      for (const char* name : {"id", "type", "function"}) made.set(name, member(call, name));
      calls_.push_back(std::move(made));
      return;
    }
    if (index != known - 1 || function.find("name") != nullptr)
      broken("arguments of no open call", data);
    Json& open = *calls_.items().back().find("function");
    const std::string joined = text_of(open, "arguments") + arguments;
    if (!begins_json(joined)) broken("arguments that do not begin JSON", data);
    open.set("arguments", joined);
  }

  bool started_ = false, finished_ = false, told_ = false, over_ = false;
  Json common_ = Json::object(), calls_ = Json::array();
  Json usage_, finish_;
  std::string content_, reasoning_;
};

}  // namespace

Json read_openai_stream(std::string_view stream) {
  constexpr std::string_view kData = "data: ";
  Order order;
  while (!stream.empty()) {
    const size_t end = stream.find("\n\n");
    if (end == std::string_view::npos) throw std::runtime_error("an event without its empty line");
    const std::string_view event = stream.substr(0, end);
    stream.remove_prefix(end + 2);
    if (!event.starts_with(kData) || event.find('\n') != std::string_view::npos)
      throw std::runtime_error(fmt::format("not the one line of an event: {}", event));
    if (order.over()) throw std::runtime_error("an event behind [DONE]");
    if (event.substr(kData.size()) == "[DONE]") {
      order.done();
      continue;
    }
    const auto data = parse_json(event.substr(kData.size()));
    if (!data.ok()) throw std::runtime_error(fmt::format("data that is no JSON: {}", event));
    order.chunk(*data);
  }
  return order.body();
}

}  // namespace sluice::test
