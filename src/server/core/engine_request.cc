#include "server/core/engine_request.h"

#include <algorithm>

namespace sluice::server {
namespace {

// The request's fields, and the recommended ones where it names none. Raw prompts have no mode.
SamplingFields with_recommended(const GenerationRequest& request, const PreparedPrompt& prompt,
                                const ModelText& model) {
  SamplingFields fields = request.sampling;
  if (model.sampling_defaults != SamplingDefaults::kByMode || !request.conversation) return fields;
  SamplingMode mode;
  mode.thinking = prompt.thinking_open;
  mode.precise = request.tools.active() || request.conversation->keeps_thoughts;
  mode.newer = model.chat_template != nullptr &&
               model.chat_template->source().find("preserve_thinking") != std::string::npos;
  const RecommendedSampling recommended = recommended_sampling(mode);
  const auto fill = [](auto& field, auto value) {
    if (!field) field = value;
  };
  fill(fields.temperature, recommended.temperature);
  fill(fields.top_p, recommended.top_p);
  fill(fields.top_k, recommended.top_k);
  fill(fields.min_p, 0.0);
  fill(fields.presence_penalty, recommended.presence_penalty);
  return fields;
}

runtime::SamplingParameters sampling_of(const GenerationRequest& request,
                                        const PreparedPrompt& prompt, const ModelText& model) {
  const SamplingFields given = with_recommended(request, prompt, model);
  const Json stored_config =
      model.sampling_defaults == SamplingDefaults::kNone ? Json() : model.generation_config;
  const auto pick = [&](const std::optional<double>& field, const char* key, double fallback) {
    if (field) return *field;
    const Json* stored = stored_config.find(key);
    return stored != nullptr ? stored->as_double().value_or(fallback) : fallback;
  };
  runtime::SamplingParameters sampling;
  sampling.temperature = pick(given.temperature, "temperature", 1.0);
  const Json* do_sample = stored_config.find("do_sample");
  if (!given.temperature && do_sample != nullptr && do_sample->is_boolean() &&
      !do_sample->boolean())
    sampling.temperature = 0;
  if (prompt.thinking_open)
    sampling.temperature = std::max(sampling.temperature, model.policy.min_thinking_temperature);
  sampling.top_p = pick(given.top_p, "top_p", 1.0);
  sampling.min_p = pick(given.min_p, "min_p", 0.0);
  sampling.repetition_penalty = pick(given.repetition_penalty, "repetition_penalty", 1.0);
  sampling.top_k =
      given.top_k ? *given.top_k : static_cast<int64_t>(pick(std::nullopt, "top_k", 0));
  sampling.presence_penalty = given.presence_penalty.value_or(0);
  sampling.frequency_penalty = given.frequency_penalty.value_or(0);
  sampling.penalise_markers = model.policy.penalise_markers;
  sampling.min_tokens = given.min_tokens.value_or(0);
  sampling.logit_bias = given.logit_bias;
  sampling.logprobs = request.logprobs.top;
  // Tools are in the prompt and must not be called: the model cannot begin to.
  const bool forbidden =
      !request.tools.declarations.empty() && request.tools.choice == ToolPolicy::Choice::kNone;
  const auto opener = model.tokenizer->find_added("<tool_call>");
  if (forbidden && opener) sampling.forbidden_ids.push_back(*opener);
  return sampling;
}

Result<std::optional<runtime::ThoughtOptions>> thought_of(const GenerationRequest& request,
                                                          const ModelText& model,
                                                          const ThinkingDefaults& defaults) {
  const auto open = model.tokenizer->find_added("<think>");
  const auto close = model.tokenizer->find_added("</think>");
  const ThinkingPolicy& policy = request.thinking;
  if (!open || !close || *close >= model.vocabulary)
    return std::optional<runtime::ThoughtOptions>();
  // Raw prompts are the client's own affair, unless it asks.
  if (!request.split_channels && !policy.budget) return std::optional<runtime::ThoughtOptions>();
  runtime::ThoughtOptions thought;
  thought.open = *open;
  thought.close = *close;
  thought.budget = policy.budget.value_or(defaults.budget);
  thought.reserve_answer_tokens = policy.reserve_answer_tokens;
  thought.break_loops = defaults.break_loops;
  thought.loop = defaults.loop;
  const std::string& message = policy.budget_message.value_or(defaults.budget_message);
  SLUICE_ASSIGN(thought.closing, model.tokenizer->encode(message, {.recognise_added = false}));
  SLUICE_ASSIGN(const auto empty_line, model.tokenizer->encode("\n\n"));
  thought.closing.push_back(*close);
  thought.closing.insert(thought.closing.end(), empty_line.begin(), empty_line.end());
  return std::optional<runtime::ThoughtOptions>(std::move(thought));
}

}  // namespace

Result<runtime::Request> make_engine_request(const GenerationRequest& request,
                                             const PreparedPrompt& prompt, uint32_t choice,
                                             uint64_t seed, const ModelText& model,
                                             const ThinkingDefaults& defaults) {
  runtime::Request made;
  made.prompt = prompt.ids;
  made.borders = prompt.borders;
  made.cache_space = request.cache_salt;
  made.priority = request.priority;
  made.sampling = sampling_of(request, prompt, model);
  made.sampling.seed = request.sampling.seed ? static_cast<uint64_t>(*request.sampling.seed) : seed;
  made.sampling.choice = choice;
  made.prompt_logprobs = request.logprobs.prompt_top;
  const int64_t room = model.context - static_cast<int64_t>(prompt.ids.size());
  // An answer of no tokens still reads the prompt; its one token is thrown away by the answer.
  made.max_tokens = std::clamp<int64_t>(request.max_tokens.value_or(room), 1, room);
  made.ignore_eos = request.stop.ignore_eos;
  made.stop_ids = request.stop.ids;
  SLUICE_ASSIGN(made.thought, thought_of(request, model, defaults));
  SLUICE_TRY(runtime::check_sampling(made.sampling));
  return made;
}

}  // namespace sluice::server
