#include "server/openai/completions_request.h"

#include <algorithm>

#include "server/core/constraint_fields.h"

namespace sluice::server::openai {
namespace {

constexpr int64_t kDefaultAnswer = 16;
constexpr int64_t kMostLogprobs = 20;
constexpr size_t kMostPrompts = 1024;

// An array of ids, or nothing if some item is none.
std::optional<std::vector<TokenId>> ids_of(const Json& list, int64_t vocabulary) {
  std::vector<TokenId> ids;
  for (const Json& item : list.items()) {
    const auto id = integral(item);
    if (!id || *id < 0 || *id >= vocabulary) return std::nullopt;
    ids.push_back(static_cast<TokenId>(*id));
  }
  return ids;
}

// A string, ids, or an array that mixes both.
void read_prompts(Fields& fields, const AdapterContext& context, GenerationRequest& request) {
  const Json* prompt = fields.any("prompt");
  if (prompt == nullptr) return fields.complain("prompt", "is missing");
  const auto add = [&](const Json& item) {
    if (item.is_string() && !item.string().empty()) {
      request.prompts.push_back({item.string()});
      return true;
    }
    if (!item.is_array() || item.items().empty()) return false;
    auto ids = ids_of(item, context.vocabulary);
    if (ids) request.prompts.push_back({std::move(*ids)});
    return ids.has_value();
  };
  const bool one = prompt->is_string() || (prompt->is_array() && !prompt->items().empty() &&
                                           prompt->items().front().is_number());
  bool good = one ? add(*prompt) : prompt->is_array() && !prompt->items().empty();
  if (!one && good) {
    if (prompt->items().size() > kMostPrompts)
      return fields.complain("prompt", "has more than 1024 entries");
    for (const Json& item : prompt->items()) good = good && add(item);
  }
  if (!good) {
    fields.complain("prompt",
                    "a text, an array of this model's tokens, or an array of these was expected, "
                    "none of them empty");
  }
}

}  // namespace

Result<CompletionsRequest> read_completions_request(const Json& body,
                                                    const AdapterContext& context) {
  Fields fields(body);
  CompletionsRequest completions;
  GenerationRequest& request = completions.neutral;
  request.split_channels = false;
  request.model = fields.string("model").value_or(context.default_model);
  request.max_tokens = fields.integer("max_tokens", {.low = 0}).value_or(kDefaultAnswer);
  read_prompts(fields, context, request);
  request.echo = fields.boolean("echo").value_or(false);
  if (request.max_tokens == 0 && !request.echo)
    fields.complain("max_tokens", "0 makes sense with echo only");
  read_sampling(fields, context, request);
  read_cache_salt(fields, request);
  request.priority = fields.integer("priority").value_or(0);
  request.choices = fields.integer("n", {.low = 1, .high = 128}).value_or(1);
  read_stop(fields, context, request);
  const auto logprobs = fields.integer("logprobs", {.low = 0, .high = kMostLogprobs});
  if (logprobs) request.logprobs.top = static_cast<int>(*logprobs);
  if (logprobs && request.echo) request.logprobs.prompt_top = static_cast<int>(*logprobs);
  request.thinking.budget = read_budget(fields, "thinking_token_budget");
  completions.stream = read_stream(fields, request);
  // Echoed log probabilities are known when the prompt has been read, which is after the first
  // chunk would have gone.
  if (request.stream && request.logprobs.prompt_top >= 0)
    fields.complain("stream", "echo with logprobs is answered whole only");
  if (fields.integer("prompt_logprobs"))
    fields.complain("prompt_logprobs", "is not offered", "Use echo with logprobs");
  fields.refuse("suffix", "filling in the middle is not offered");
  fields.refuse("prompt_embeds", "prompts are text or tokens");
  read_constraint(fields, request);
  ignore_and_refuse(fields);
  request.unknown_fields = fields.unknown();
  SLUICE_TRY(fields.status());
  return completions;
}

}  // namespace sluice::server::openai
