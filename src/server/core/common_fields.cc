#include "server/core/common_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

namespace sluice::server {
namespace {

void read_logit_bias(Fields& fields, const AdapterContext& context, SamplingFields& sampling) {
  const Json* biases = fields.object("logit_bias");
  if (biases == nullptr) return;
  for (const auto& [key, bias] : biases->members()) {
    int64_t id = -1;
    const auto parsed = std::from_chars(key.data(), key.data() + key.size(), id);
    if (parsed.ec != std::errc{} || parsed.ptr != key.data() + key.size() || id < 0 ||
        id >= context.vocabulary) {
      return fields.complain("logit_bias",
                             fmt::format("\"{}\" is not a token of this model (0 to {})", key,
                                         context.vocabulary - 1));
    }
    if (!bias.is_number())
      return fields.complain("logit_bias", fmt::format("the bias of {} is no number", id));
    const double value = std::clamp(bias.as_double().value_or(0), -100.0, 100.0);
    sampling.logit_bias.emplace_back(static_cast<TokenId>(id), static_cast<float>(value));
  }
}

bool good_tool_name(std::string_view name) {
  return !name.empty() && name.size() <= 128 &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
             "_.:-") == std::string_view::npos;
}

// A kwarg that normalise() will read as a boolean as well (N10).
std::optional<bool> kwarg_switch(const Json* kwargs, std::string_view name) {
  const Json* value = kwargs != nullptr ? kwargs->find(name) : nullptr;
  if (value == nullptr || !value->is_boolean()) return std::nullopt;
  return value->boolean();
}

}  // namespace

void read_sampling(Fields& fields, const AdapterContext& context, GenerationRequest& request) {
  SamplingFields& sampling = request.sampling;
  sampling.temperature = fields.real("temperature", {.low = 0, .high = 2});
  sampling.top_p = fields.real("top_p", {.low = 0, .high = 1});
  // Some clients send 0 and mean "the best one only".
  if (sampling.top_p == 0.0) {
    sampling.top_p.reset();
    sampling.temperature = 0;
  }
  sampling.top_k = fields.integer("top_k", {.low = -1});
  sampling.min_p = fields.real("min_p", {.low = 0, .high = 1});
  sampling.presence_penalty = fields.real("presence_penalty", {.low = -2, .high = 2});
  sampling.frequency_penalty = fields.real("frequency_penalty", {.low = -2, .high = 2});
  sampling.repetition_penalty = fields.real("repetition_penalty", {.low = 0, .low_open = true});
  const auto repeat = fields.real("repeat_penalty", {.low = 0, .low_open = true});
  if (!sampling.repetition_penalty) sampling.repetition_penalty = repeat;
  sampling.seed = fields.integer("seed");
  if (sampling.seed == -1) sampling.seed.reset();
  sampling.min_tokens = fields.integer("min_tokens", {.low = 0});
  read_logit_bias(fields, context, sampling);
  if (sampling.min_tokens && request.max_tokens && *sampling.min_tokens > *request.max_tokens) {
    fields.complain("min_tokens", fmt::format("{} is more than max_tokens, {}",
                                              *sampling.min_tokens, *request.max_tokens));
  }
}

void read_cache_salt(Fields& fields, GenerationRequest& request) {
  constexpr size_t kMostBytes = 128;
  constexpr std::string_view kForbidden("@/\\\0", 4);
  request.cache_salt = fields.string("cache_salt").value_or("");
  if (request.cache_salt.size() > kMostBytes)
    return fields.complain("cache_salt", fmt::format("{} bytes, at most {} are taken",
                                                     request.cache_salt.size(), kMostBytes));
  if (request.cache_salt.find_first_of(kForbidden) != std::string::npos)
    fields.complain("cache_salt", "holds one of @ / \\ or a zero byte");
}

std::optional<int64_t> read_budget(Fields& fields, std::string_view name) {
  const Json* value = fields.any(name);
  if (value == nullptr) return std::nullopt;
  const auto budget = value->as_int64();
  if (!budget || *budget < -1) {
    fields.complain(name, "an integer of at least 0 was expected, or -1 for no limit");
    return std::nullopt;
  }
  return budget;
}

void set_effort(Fields& fields, std::string_view name, const Json& value,
                ThinkingPolicy& thinking) {
  std::string effort;
  if (value.is_number()) {
    const double number = value.as_double().value_or(-1);
    if (number < 0 || number > 0.99)
      return fields.complain(name, "as a number it is within [0, 0.99]");
    effort = number < 0.2   ? "minimal"
             : number < 0.4 ? "low"
             : number < 0.6 ? "medium"
             : number < 0.8 ? "high"
                            : "xhigh";
  } else if (value.is_string()) {
    effort = value.string() == "ultra" ? "max" : value.string();
  }
  static const std::set<std::string> kEfforts = {"none", "minimal", "low", "medium",
                                                 "high", "xhigh",   "max"};
  if (!kEfforts.contains(effort)) {
    return fields.complain(name, "is none of none, minimal, low, medium, high, xhigh, max");
  }
  if (!thinking.enabled) thinking.enabled = effort != "none";
  if (!thinking.effort && effort != "none") thinking.effort = effort;
}

void read_thinking(Fields& fields, GenerationRequest& request) {
  ThinkingPolicy& thinking = request.thinking;
  const Json* kwargs = fields.object("chat_template_kwargs");
  const auto enable = fields.boolean("enable_thinking");
  const auto setting = kwarg_switch(kwargs, "enable_thinking");
  thinking.enabled = setting ? setting : enable;

  // Budgets, from the spelling with the highest precedence down.
  const auto take_budget = [&](std::optional<int64_t> budget) {
    if (budget && !thinking.budget) thinking.budget = budget;
  };
  for (const char* name : {"thinking_token_budget", "thinking_budget_tokens",
                           "reasoning_budget_tokens", "thinking_budget"})
    take_budget(read_budget(fields, name));
  for (const Json* holder : {kwargs, fields.object("custom_params"), fields.object("extra_body")}) {
    if (holder == nullptr) continue;
    Fields nested(*holder);
    for (const char* name : {"thinking_token_budget", "thinking_budget"})
      take_budget(read_budget(nested, name));
    if (const Status status = nested.status(); !status.ok()) fields.complain(status.error());
  }
  thinking.budget_message = fields.string("reasoning_budget_message");
  if (const auto message = fields.string("thinking_budget_message"))
    thinking.budget_message = message;

  if (const Json* switched = fields.object("thinking")) {
    Fields nested(*switched, "thinking");
    const auto type = nested.string("type");
    // A type that we do not know is a way of thinking and not a reason to refuse the request.
    if (type && !thinking.enabled && *type == "enabled") thinking.enabled = true;
    if (type && !thinking.enabled && *type == "disabled") thinking.enabled = false;
    take_budget(read_budget(nested, "budget_tokens"));
    if (const Status status = nested.status(); !status.ok()) fields.complain(status.error());
  }
  if (const Json* reasoning = fields.object("reasoning")) {
    Fields nested(*reasoning, "reasoning");
    const auto enabled = nested.boolean("enabled");
    if (enabled && !thinking.enabled) thinking.enabled = enabled;
    if (const Json* effort = nested.any("effort")) set_effort(nested, "effort", *effort, thinking);
    take_budget(nested.integer("max_tokens", {.low = 0}));
    if (nested.boolean("exclude").value_or(false)) thinking.shown = false;
    if (const Status status = nested.status(); !status.ok()) fields.complain(status.error());
  }
  if (const Json* effort = fields.any("reasoning_effort"))
    set_effort(fields, "reasoning_effort", *effort, thinking);
  if (!fields.boolean("include_reasoning").value_or(true)) thinking.shown = false;
}

void read_tools(Fields& fields, const Json* tools, const AdapterContext& context,
                GenerationRequest& request) {
  if (tools == nullptr) return;
  if (tools->items().empty()) {
    if (!context.lenient_empty_tools) fields.complain("tools", "is empty: leave it out");
    return;
  }
  request.tools.declarations = chat::tool_declarations(*tools);
  if (request.tools.declarations.size() != tools->items().size())
    return fields.complain("tools", "an entry is not {\"type\":\"function\",\"function\":{...}}");
  std::set<std::string> seen;
  for (const chat::ToolDeclaration& tool : request.tools.declarations) {
    if (!good_tool_name(tool.name)) {
      return fields.complain("tools", fmt::format("\"{}\" is not a name: 1 to 128 of letters, "
                                                  "digits and _ . : -",
                                                  tool.name));
    }
    if (!seen.insert(tool.name).second)
      return fields.complain("tools", fmt::format("\"{}\" is declared twice", tool.name));
  }
}

}  // namespace sluice::server
