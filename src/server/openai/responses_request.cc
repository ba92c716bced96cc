#include "server/openai/responses_request.h"

#include <fmt/format.h>

#include "server/core/constraint_fields.h"
#include "server/openai/chat_request.h"

namespace sluice::server::openai {
namespace {

std::string member(const Json& object, std::string_view name) {
  const Json* value = object.find(name);
  return value != nullptr && value->is_string() ? value->string() : std::string();
}

std::string joined_texts(const Json* parts) {
  std::string text;
  if (parts == nullptr || !parts->is_array()) return text;
  for (const Json& part : parts->items()) text += member(part, "text");
  return text;
}

// Puts items into messages, one after the other. What one turn of the model left behind - thought,
// text, calls - becomes one message again, as the template rendered it before.
class ItemReader {
 public:
  explicit ItemReader(const std::string& instructions) {
    if (!instructions.empty()) push("system", instructions);
  }

  Status add(const Json& item, const std::string& where) {
    if (!item.is_object())
      return usage_error(where, fmt::format("is a {}, an object was expected", item.kind_name()));
    const std::string type = item.find("type") != nullptr ? member(item, "type") : "message";
    if (type == "message") return add_message(item, where);
    if (type == "reasoning") {
      thought_ = joined_texts(item.find("content"));
      if (thought_.empty()) thought_ = joined_texts(item.find("summary"));
      if (thought_.empty()) thought_ = member(item, "encrypted_content");
      return {};
    }
    if (type == "function_call") return add_call(item, where);
    if (type == "function_call_output") return add_output(item, where);
    if (type == "item_reference")
      return usage_error(where, "references to items are not taken", "Send the item itself");
    return {};  // a hosted tool's item, or one of tomorrow
  }

  Json take() { return Json(std::move(messages_)); }

 private:
  Json& push(const char* role, Json content) {
    Json message = Json::object();
    message.set("role", role);
    message.set("content", std::move(content));
    messages_.push_back(std::move(message));
    open_turn_ = false;
    return messages_.back();
  }

  Json& assistant() {
    if (!open_turn_) {
      push("assistant", "");
      open_turn_ = true;
    }
    if (!thought_.empty()) messages_.back().set("reasoning_content", std::exchange(thought_, {}));
    return messages_.back();
  }

  Status add_message(const Json& item, const std::string& where) {
    const std::string role = member(item, "role");
    const Json* content = item.find("content");
    if (content == nullptr || (!content->is_string() && !content->is_array()))
      return usage_error(where + ".content", "is neither a text nor an array of parts");
    if (role == "assistant") {
      open_turn_ = false;
      assistant().set("content", *content);
      return {};
    }
    thought_.clear();
    push(role.empty() ? "user" : role.c_str(), *content);
    return {};
  }

  Status add_call(const Json& item, const std::string& where) {
    if (member(item, "name").empty()) return usage_error(where + ".name", "is missing");
    Json function = Json::object();
    function.set("name", member(item, "name"));
    function.set("arguments", member(item, "arguments"));
    Json call = Json::object();
    call.set("id", member(item, "call_id"));
    call.set("type", "function");
    call.set("function", std::move(function));
    Json& message = assistant();
    if (message.find("tool_calls") == nullptr) message.set("tool_calls", Json::array());
    message.find("tool_calls")->push_back(std::move(call));
    return {};
  }

  Status add_output(const Json& item, const std::string& where) {
    const Json* output = item.find("output");
    if (output == nullptr || (!output->is_string() && !output->is_array()))
      return usage_error(where + ".output", "is neither a text nor an array of parts");
    push("tool", *output).set("tool_call_id", member(item, "call_id"));
    return {};
  }

  Json::Array messages_;
  std::string thought_;     // of a reasoning item, for what follows
  bool open_turn_ = false;  // the last message is the model's and may get calls
};

// Function tools in the form of the chat route; hosted ones cannot run here.
Json chat_tools(const Json& tools) {
  Json::Array converted;
  for (const Json& tool : tools.items()) {
    if (member(tool, "type") != "function") continue;
    Json function = Json::object();
    for (const char* name : {"name", "description", "parameters", "strict"}) {
      if (const Json* value = tool.find(name)) function.set(name, *value);
    }
    Json entry = Json::object();
    entry.set("type", "function");
    entry.set("function", std::move(function));
    if (const Json* defer = tool.find("defer_loading")) entry.set("defer_loading", *defer);
    converted.push_back(std::move(entry));
  }
  return Json(std::move(converted));
}

void read_text_format(Fields& fields, GenerationRequest& request) {
  const Json* text = fields.object("text");
  const Json* format = text != nullptr ? text->find("format") : nullptr;
  if (format == nullptr || format->is_null()) return;
  if (!format->is_object()) return fields.complain("text.format", "an object was expected");
  read_format(fields, "text.format", *format, request);
}

void read_input(Fields& fields, const Json* history, ResponsesRequest& responses) {
  Json::Array items = history != nullptr ? history->items() : Json::Array();
  const Json* input = fields.any("input");
  if (input != nullptr && input->is_string()) {
    Json item = Json::object();
    item.set("type", "message");
    item.set("role", "user");
    item.set("content", *input);
    items.push_back(std::move(item));
  } else if (input != nullptr && input->is_array() && !input->items().empty()) {
    items.insert(items.end(), input->items().begin(), input->items().end());
  } else {
    return fields.complain("input", "a text or an array of items was expected");
  }
  responses.items = Json(std::move(items));
  Result<Json> messages =
      messages_of_items(responses.items, fields.string("instructions").value_or(""));
  if (!messages.ok()) return fields.complain(messages.error());
  Conversation conversation;
  conversation.keeps_thoughts = true;
  conversation.body = Json::object();
  conversation.body.set("messages", std::move(*messages));
  if (const Json* kwargs = fields.object("chat_template_kwargs"))
    conversation.body.set("chat_template_kwargs", *kwargs);
  responses.neutral.conversation = std::move(conversation);
}

// What the response says of the request, with the defaults filled in.
Json echoed_fields(const Json& body, const ResponsesRequest& responses) {
  const auto given = [&](const char* name, Json fallback) {
    const Json* value = body.find(name);
    return value != nullptr && !value->is_null() ? *value : std::move(fallback);
  };
  Json format = Json::object();
  format.set("type", "text");
  Json text = Json::object();
  text.set("format", std::move(format));
  Json reasoning = Json::object();
  reasoning.set("effort", Json());
  reasoning.set("summary", Json());
  Json echoed = Json::object();
  echoed.set("instructions", given("instructions", Json()));
  echoed.set("max_output_tokens", given("max_output_tokens", Json()));
  echoed.set("parallel_tool_calls", responses.neutral.tools.parallel);
  echoed.set("previous_response_id", given("previous_response_id", Json()));
  echoed.set("reasoning", given("reasoning", std::move(reasoning)));
  echoed.set("store", responses.store);
  echoed.set("temperature", given("temperature", 1.0));
  echoed.set("text", given("text", std::move(text)));
  echoed.set("tool_choice", given("tool_choice", "auto"));
  echoed.set("tools", given("tools", Json::array()));
  echoed.set("top_p", given("top_p", 1.0));
  echoed.set("truncation", given("truncation", "disabled"));
  echoed.set("user", given("user", Json()));
  echoed.set("metadata", given("metadata", Json::object()));
  return echoed;
}

}  // namespace

Result<Json> messages_of_items(const Json& items, const std::string& instructions) {
  ItemReader reader(instructions);
  for (size_t i = 0; i < items.items().size(); ++i)
    SLUICE_TRY(reader.add(items.items()[i], fmt::format("input[{}]", i)));
  return reader.take();
}

Result<ResponsesRequest> read_responses_request(const Json& body, const AdapterContext& context,
                                                const Json* history) {
  Fields fields(body);
  ResponsesRequest responses;
  GenerationRequest& request = responses.neutral;
  request.model = fields.string("model").value_or(context.default_model);
  request.max_tokens = fields.integer("max_output_tokens", {.low = 1});
  read_sampling(fields, context, request);
  read_cache_salt(fields, request);
  request.stop.strings = fields.strings("stop", 16);
  request.stop.ignore_eos = fields.boolean("ignore_eos").value_or(false);
  request.stream = fields.boolean("stream").value_or(false);
  read_thinking(fields, request);
  if (const Json* reasoning = fields.object("reasoning")) {
    const Json* summary = reasoning->find("summary");
    responses.summary = summary != nullptr && summary->is_string();
  }
  responses.store = fields.boolean("store").value_or(true);
  for (const std::string& name : fields.strings("include", 64))
    responses.encrypted_content |= name == "reasoning.encrypted_content";
  Json tools;
  const Json* given = fields.array("tools");
  if (given != nullptr) tools = chat_tools(*given);
  // Without those that this server leaves out, an array may be empty that was not.
  const bool left_out = given != nullptr && tools.items().empty() && !given->items().empty();
  read_tools(fields, given != nullptr && !left_out ? &tools : nullptr, context, request);
  read_tool_choice(fields, request);
  read_text_format(fields, request);
  read_input(fields, history, responses);
  if (request.conversation && !request.tools.declarations.empty())
    request.conversation->body.set("tools", std::move(tools));
  fields.refuse("background", "answers in the background are not offered");
  fields.refuse("prompt", "stored prompts are not offered");
  fields.refuse("conversation", "stored conversations are not offered");
  fields.refuse("top_logprobs", "is not supported by this build");
  read_constraint(fields, request);
  fields.refuse("max_tool_calls", "calls are the client's: it can stop asking");
  if (fields.string("truncation").value_or("disabled") != "disabled")
    fields.complain("truncation", "a conversation is not cut to fit", "Use \"disabled\"");
  fields.string("previous_response_id");  // found already; here only its type is of interest
  fields.ignore({"previous_input_messages", "access_programs", "background_options",
                 "context_management", "image", "stream_options"});
  ignore_and_refuse(fields);
  request.unknown_fields = fields.unknown();
  SLUICE_TRY(fields.status());
  responses.echoed = echoed_fields(body, responses);
  return responses;
}

}  // namespace sluice::server::openai
