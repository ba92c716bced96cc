#include "server/anthropic/messages_request.h"

#include <algorithm>

#include "server/anthropic/conversation.h"
#include "server/core/constraint_fields.h"

namespace sluice::server::anthropic {
namespace {

constexpr int64_t kDefaultAnswer = 4096;
constexpr int64_t kMostReserve = 4096;

void read_choice(Fields& fields, GenerationRequest& request) {
  const Json* given = fields.object("tool_choice");
  if (given == nullptr) return;
  Fields choice(*given, "tool_choice");
  const std::string type = choice.string("type").value_or("");
  const auto name = choice.string("name");
  request.tools.parallel = !choice.boolean("disable_parallel_tool_use").value_or(false);
  if (type == "none") {
    request.tools.choice = ToolPolicy::Choice::kNone;
  } else if (type == "any") {
    force_call(fields, "tool_choice", std::nullopt, request.tools);
  } else if (type == "tool") {
    force_call(fields, "tool_choice", name.value_or(""), request.tools);
  } else if (type != "auto") {
    fields.complain("tool_choice", "type is none of auto, any, tool and none");
  }
  if (const Status status = choice.status(); !status.ok()) fields.complain(status.error());
}

void read_output_config(Fields& fields, GenerationRequest& request) {
  const Json* given = fields.object("output_config");
  if (given == nullptr) return;
  Fields config(*given, "output_config");
  if (const Json* effort = config.any("effort"))
    set_effort(config, "effort", *effort, request.thinking);
  if (const Json* format = config.object("format")) {
    read_format(config, "format", *format, request);
    // Here a schema is always kept to, or refused.
    if (request.constraint) {
      request.constraint->strict = true;
      request.constraint->field = "output_config.format";
    }
  }
  if (const Status status = config.status(); !status.ok()) fields.complain(status.error());
}

void read_conversation(Fields& fields, GenerationRequest& request) {
  const Json* messages = fields.array("messages");
  if (messages == nullptr || messages->items().empty())
    return fields.complain("messages", "an array with at least one message was expected");
  Conversation conversation;
  conversation.body = Json::object();
  conversation.always_continue = true;
  conversation.keeps_thoughts = true;

  const Json* tools = fields.array("tools");
  if (tools != nullptr) {
    Result<Json> converted = convert_tools(*tools);
    if (!converted.ok()) return fields.complain(converted.error());
    read_tools(fields, &*converted, AdapterContext(), request);  // [] is legal here
    if (!converted->items().empty()) conversation.body.set("tools", std::move(*converted));
  }
  std::string system;
  if (const Json* given = fields.any("system")) {
    Result<std::string> text = system_text(*given);
    if (!text.ok()) return fields.complain(text.error());
    system = std::move(*text);
  }
  Result<Json> converted = convert_messages(system, *messages, tools);
  if (!converted.ok()) return fields.complain(converted.error());
  conversation.body.set("messages", std::move(*converted));
  if (const Json* kwargs = fields.object("chat_template_kwargs"))
    conversation.body.set("chat_template_kwargs", *kwargs);
  request.conversation = std::move(conversation);
}

}  // namespace

Result<MessagesRequest> read_messages_request(const Json& body, const AdapterContext& context) {
  Fields fields(body);
  MessagesRequest messages;
  GenerationRequest& request = messages.neutral;
  request.model = fields.string("model").value_or(context.default_model);
  const int64_t most = fields.integer("max_tokens", {.low = 0}).value_or(kDefaultAnswer);
  request.max_tokens = most;
  request.stop.strings = fields.strings("stop_sequences", 16);
  request.stream = fields.boolean("stream").value_or(false);
  read_sampling(fields, context, request);
  read_cache_salt(fields, request);
  read_thinking(fields, request);
  if (const Json* thinking = fields.object("thinking")) {
    const Json* display = thinking->find("display");
    messages.thinking_omitted = display != nullptr && *display == Json("omitted");
  }
  read_output_config(fields, request);
  if (request.thinking.budget) {
    request.thinking.budget = std::min(*request.thinking.budget, std::max<int64_t>(most - 1, 0));
    if (*request.thinking.budget < 0) request.thinking.budget = -1;
  }
  // An answer that is all thought ends an agent's turn with nothing.
  request.thinking.reserve_answer_tokens = std::min(kMostReserve, most / 4);
  read_conversation(fields, request);
  read_choice(fields, request);
  fields.ignore({"metadata", "service_tier", "container", "context_management", "diagnostics",
                 "inference_geo", "mcp_servers", "cache_control", "betas", "speed",
                 "user_profile_id", "workspace_id", "fallback", "extra_body"});
  request.unknown_fields = fields.unknown();
  SLUICE_TRY(fields.status());
  return messages;
}

}  // namespace sluice::server::anthropic
