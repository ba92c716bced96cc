#include "server/openai/chat_request.h"

#include <fmt/format.h>

#include "server/core/constraint_fields.h"

namespace sluice::server::openai {
namespace {

constexpr int64_t kMostChoices = 128;
constexpr int64_t kMostLogprobs = 20;

// Deprecated `functions` and `function_call` as tools.
Json tools_of_functions(const Json& functions) {
  Json::Array tools;
  for (const Json& function : functions.items()) {
    Json tool = Json::object();
    tool.set("type", "function");
    tool.set("function", function);
    tools.push_back(std::move(tool));
  }
  return tools;
}

void read_conversation(Fields& fields, const AdapterContext& context, GenerationRequest& request) {
  const Json* messages = fields.array("messages");
  if (messages == nullptr || messages->items().empty())
    return fields.complain("messages", "an array with at least one message was expected");
  Conversation conversation;
  conversation.body = Json::object();
  conversation.body.set("messages", *messages);

  const Json* tools = fields.array("tools");
  const Json* functions = fields.array("functions");
  Json converted;
  if (tools == nullptr && functions != nullptr) {
    converted = tools_of_functions(*functions);
    tools = &converted;
  }
  read_tools(fields, tools, context, request);
  if (!request.tools.declarations.empty()) conversation.body.set("tools", *tools);
  read_tool_choice(fields, request);
  if (const Json* call = fields.any("function_call")) {
    if (call->is_string() && call->string() == "none") {
      request.tools.choice = ToolPolicy::Choice::kNone;
    } else if (!call->is_string() || call->string() != "auto") {
      const Json* name = call->find("name");
      if (name == nullptr || !name->is_string())
        return fields.complain("function_call", "is none of none, auto and {\"name\":...}");
      force_call(fields, "function_call", name->string(), request.tools);
    }
  }
  if (const Json* kwargs = fields.object("chat_template_kwargs"))
    conversation.body.set("chat_template_kwargs", *kwargs);
  for (const char* name : {"add_generation_prompt", "continue_final_message"}) {
    if (const auto value = fields.boolean(name)) conversation.body.set(name, *value);
  }
  request.conversation = std::move(conversation);
}

void read_logprobs(Fields& fields, GenerationRequest& request) {
  const bool wanted = fields.boolean("logprobs").value_or(false);
  const auto top = fields.integer("top_logprobs", {.low = 0, .high = kMostLogprobs});
  if (top && *top > 0 && !wanted) fields.complain("top_logprobs", "needs logprobs to be true");
  if (wanted) request.logprobs.top = static_cast<int>(top.value_or(0));
}

}  // namespace

StreamOptions read_stream(Fields& fields, GenerationRequest& request) {
  request.stream = fields.boolean("stream").value_or(false);
  StreamOptions options;
  const Json* given = fields.object("stream_options");
  if (given == nullptr) return options;
  if (!request.stream) fields.complain("stream_options", "is given without stream");
  Fields nested(*given, "stream_options");
  options.include_usage = nested.boolean("include_usage").value_or(false);
  nested.refuse("continuous_usage_stats", "usage comes once, at the end of the stream");
  if (const Status status = nested.status(); !status.ok()) fields.complain(status.error());
  return options;
}

void read_stop(Fields& fields, const AdapterContext& context, GenerationRequest& request) {
  request.stop.strings = fields.strings("stop", 16);
  request.stop.ids = fields.ids("stop_token_ids", context.vocabulary);
  request.stop.ignore_eos = fields.boolean("ignore_eos").value_or(false);
  request.stop.include_text = fields.boolean("include_stop_str_in_output").value_or(false);
}

void ignore_and_refuse(Fields& fields) {
  // OpenAI's own that change nothing here; vLLM's, SGLang's and llama.cpp's that the page lists.
  fields.ignore({"user",
                 "metadata",
                 "store",
                 "service_tier",
                 "prediction",
                 "web_search_options",
                 "prompt_cache_key",
                 "prompt_cache_retention",
                 "prompt_cache_options",
                 "safety_identifier",
                 "verbosity",
                 "moderation",
                 "length_penalty",
                 "best_of",
                 "repetition_detection",
                 "vllm_xargs",
                 "kv_transfer_params",
                 "ec_transfer_params",
                 "stream_interval",
                 "watermarking",
                 "return_weight_versions",
                 "routed_experts_prompt_start",
                 "mm_payload",
                 "return_mm_kwargs",
                 "stop_regex",
                 "lora_path",
                 "extra_key",
                 "return_meta_info",
                 "custom_params",
                 "cache_prompt",
                 "id_slot",
                 "timings_per_token",
                 "return_progress",
                 "reasoning_control",
                 "generation_prompt",
                 "documents",
                 "add_special_tokens",
                 "spaces_between_special_tokens",
                 "session_id",
                 "extra_body"});
  // A request's name comes with the header X-Request-Id, which every answer repeats.
  fields.refuse("request_id", "is taken from the header X-Request-Id");
  fields.refuse("rid", "is taken from the header X-Request-Id");
  if (fields.boolean("skip_special_tokens") == false)
    fields.complain("skip_special_tokens", "special tokens are never part of an answer's text");
  fields.refuse("use_beam_search", "beam search is not offered");
  fields.refuse("audio", "audio is not offered");
  fields.refuse("chat_template", "a template of the request's own is not taken");
  fields.refuse("custom_logit_processor", "code in a request is not run");
  fields.refuse("input_ids", "prompts of ids belong to /v1/completions");
  fields.refuse("bad_words", "is not supported by this build");
  fields.refuse("allowed_token_ids", "is not supported by this build");
  fields.refuse("logprob_token_ids", "is not supported by this build");
  fields.refuse("truncate_prompt_tokens", "prompts are not cut");
  fields.refuse("truncation_side", "prompts are not cut");
  fields.refuse("mm_processor_kwargs", "is not taken from a request");
  fields.refuse("media_io_kwargs", "is not taken from a request");
  for (const char* name :
       {"return_token_ids", "return_prompt_token_ids", "return_tokens_as_token_ids",
        "return_prompt_text", "return_token_offsets"})
    fields.refuse(name, "is not supported by this build");
  if (const Json* modalities = fields.array("modalities")) {
    for (const Json& modality : modalities->items()) {
      if (!modality.is_string() || modality.string() != "text")
        fields.complain("modalities", "only text is offered");
    }
  }
}

Result<ChatRequest> read_chat_request(const Json& body, const AdapterContext& context) {
  Fields fields(body);
  ChatRequest chat;
  GenerationRequest& request = chat.neutral;
  request.model = fields.string("model").value_or(context.default_model);
  const auto newer = fields.integer("max_completion_tokens", {.low = 1});
  const auto older = fields.integer("max_tokens", {.low = 1});
  request.max_tokens = newer ? newer : older;
  read_sampling(fields, context, request);
  read_cache_salt(fields, request);
  request.priority = fields.integer("priority").value_or(0);
  request.choices = fields.integer("n", {.low = 1, .high = kMostChoices}).value_or(1);
  read_stop(fields, context, request);
  read_logprobs(fields, request);
  chat.stream = read_stream(fields, request);
  read_thinking(fields, request);
  read_conversation(fields, context, request);
  read_constraint(fields, request);

  const auto format = fields.string("reasoning_format");
  const auto separate = fields.boolean("separate_reasoning").value_or(true);
  chat.inline_reasoning = !separate || (format && *format == "none");
  chat.hold_reasoning = !fields.boolean("stream_reasoning").value_or(true);
  if (!fields.boolean("parse_tool_calls").value_or(true))
    request.tools.choice = ToolPolicy::Choice::kNone;
  if (fields.integer("prompt_logprobs"))
    fields.complain("prompt_logprobs", "is offered by /v1/completions only, with echo");
  fields.refuse("echo", "is offered by /v1/completions only");
  ignore_and_refuse(fields);
  request.unknown_fields = fields.unknown();
  SLUICE_TRY(fields.status());
  return chat;
}

}  // namespace sluice::server::openai
