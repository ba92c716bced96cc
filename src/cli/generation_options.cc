#include "cli/generation_options.h"

#include <fmt/format.h>

#include <charconv>
#include <functional>
#include <random>

#include "chat/thinking.h"

namespace sluice::cli {

void GenerationOptions::declare(CLI::App& app) {
  const char* group = "Sampling";
  app.add_option("--temperature", temperature, "0 is greedy")->group(group);
  app.add_option("--top-p", top_p, "nucleus, (0, 1]")->group(group);
  app.add_option("--top-k", top_k, "0 or -1: off")->group(group);
  app.add_option("--min-p", min_p, "share of the best token's probability, [0, 1]")->group(group);
  app.add_option("--presence-penalty", presence_penalty, "[-2, 2], output tokens")->group(group);
  app.add_option("--frequency-penalty", frequency_penalty, "[-2, 2], output tokens")->group(group);
  app.add_option("--repetition-penalty", repetition_penalty, "> 0, prompt and output tokens")
      ->group(group);
  app.add_option("--logit-bias", logit_bias, "ID:BIAS, repeatable")->group(group);
  app.add_option("--seed", seed, "random numbers by (seed, choice, position); -1: a new one")
      ->group(group);
  group = "Length and stopping";
  app.add_option("--max-tokens", max_tokens, "most tokens of an answer")
      ->check(CLI::PositiveNumber)
      ->group(group);
  app.add_option("--min-tokens", min_tokens, "stop tokens are masked before")->group(group);
  app.add_option("--stop", stop, "text that ends the answer, repeatable; it is not shown")
      ->group(group);
  app.add_option("--stop-id", stop_ids, "token that ends the answer, repeatable")->group(group);
  app.add_flag("--ignore-eos", ignore_eos, "the model's own stop tokens do not end the answer")
      ->group(group);
  group = "Thinking";
  app.add_option("--reasoning-budget", reasoning_budget, "most tokens of a thought; -1: unlimited")
      ->group(group);
  app.add_option("--reasoning-budget-message", reasoning_budget_message,
                 "text written before a thought is closed by force")
      ->group(group);
  app.add_option("--reserve-answer-tokens", reserve_answer_tokens,
                 "tokens of --max-tokens kept for the answer")
      ->group(group);
  app.add_flag("--no-loop-breaker", no_loop_breaker, "do not close a thought that repeats itself")
      ->group(group);
  app.add_option("--loop-max-period", loop.max_period, "longest exact period looked for")
      ->capture_default_str()
      ->group(group);
  app.add_option("--loop-min-repeats", loop.min_repeats, "repeats of a period that make a loop")
      ->capture_default_str()
      ->group(group);
  app.add_option("--loop-min-length", loop.min_length, "tokens that make a loop")
      ->capture_default_str()
      ->group(group);
  app.add_option("--loop-near-share", loop.near_share,
                 "share of repeated 16-grams that makes a near loop")
      ->capture_default_str()
      ->group(group);
}

namespace {

using Setter = std::function<bool(const Json&)>;

template <typename T>
Setter integer(std::optional<T>& target) {
  return [&target](const Json& value) {
    const auto number = value.as_int64();
    if (number) target = static_cast<T>(*number);
    return number.has_value();
  };
}

Setter real(std::optional<double>& target) {
  return [&target](const Json& value) {
    const auto number = value.as_double();
    if (number) target = *number;
    return number.has_value();
  };
}

Setter strings(std::vector<std::string>& target) {
  return [&target](const Json& value) {
    target.clear();
    if (value.is_string()) {
      target.push_back(value.string());
      return true;
    }
    if (!value.is_array()) return false;
    for (const Json& item : value.items()) {
      if (!item.is_string()) return false;
      target.push_back(item.string());
    }
    return true;
  };
}

Result<std::pair<int32_t, float>> parse_bias(const std::string& text) {
  const size_t colon = text.find(':');
  int32_t id = -1;
  float bias = 0;
  const char* end = text.data() + text.size();
  if (colon == std::string::npos ||
      std::from_chars(text.data(), text.data() + colon, id).ptr != text.data() + colon ||
      std::from_chars(text.data() + colon + 1, end, bias).ptr != end || id < 0) {
    return usage_error("--logit-bias", fmt::format("\"{}\" is not ID:BIAS", text));
  }
  return std::pair{id, bias};
}

}  // namespace

Status GenerationOptions::override_with(const Json& line) {
  const Setter set_bias = [this](const Json& value) {
    if (!value.is_object()) return false;
    logit_bias.clear();
    for (const auto& [id, bias] : value.members()) {
      if (!bias.is_number()) return false;
      logit_bias.push_back(id + ":" + bias.spelling());
    }
    return true;
  };
  const Setter set_ignore_eos = [this](const Json& value) {
    if (value.is_boolean()) ignore_eos = value.boolean();
    return value.is_boolean();
  };
  const Setter set_stop_ids = [this](const Json& value) {
    if (!value.is_array()) return false;
    stop_ids.clear();
    for (const Json& item : value.items()) {
      const auto id = item.as_int64();
      if (!id) return false;
      stop_ids.push_back(static_cast<int32_t>(*id));
    }
    return true;
  };
  const std::pair<const char*, Setter> fields[] = {{"temperature", real(temperature)},
                                                   {"top_p", real(top_p)},
                                                   {"min_p", real(min_p)},
                                                   {"top_k", integer(top_k)},
                                                   {"presence_penalty", real(presence_penalty)},
                                                   {"frequency_penalty", real(frequency_penalty)},
                                                   {"repetition_penalty", real(repetition_penalty)},
                                                   {"logit_bias", set_bias},
                                                   {"seed", integer(seed)},
                                                   {"max_tokens", integer(max_tokens)},
                                                   {"min_tokens", integer(min_tokens)},
                                                   {"stop", strings(stop)},
                                                   {"stop_ids", set_stop_ids},
                                                   {"ignore_eos", set_ignore_eos},
                                                   {"logprobs", integer(logprobs)},
                                                   {"reasoning_budget", integer(reasoning_budget)}};
  for (const auto& [name, value] : line.members()) {
    if (value.is_null()) continue;
    bool known = name == "ids" || name == "text" || name == "messages" || name == "tools" ||
                 name == "chat_template_kwargs";
    for (const auto& [field, set] : fields) {
      if (name != field) continue;
      known = true;
      if (!set(value))
        return usage_error(name,
                           fmt::format("a {} is not what this field takes", value.kind_name()));
    }
    if (!known) return usage_error(name, "is not a field of a request", "Remove it");
  }
  return {};
}

Result<runtime::Request> GenerationOptions::request(const ModelFiles& files,
                                                    const model::TextConfig& config) const {
  runtime::Request request;
  runtime::SamplingParameters& sampling = request.sampling;
  const Json* defaults = files.generation_config ? &*files.generation_config : nullptr;
  const auto pick = [&](const std::optional<double>& flag, const char* key, double fallback) {
    if (flag) return *flag;
    const Json* stored = defaults != nullptr ? defaults->find(key) : nullptr;
    return stored != nullptr ? stored->as_double().value_or(fallback) : fallback;
  };
  sampling.temperature = pick(temperature, "temperature", 1.0);
  const Json* do_sample = defaults != nullptr ? defaults->find("do_sample") : nullptr;
  if (!temperature && do_sample != nullptr && do_sample->is_boolean() && !do_sample->boolean())
    sampling.temperature = 0;
  sampling.top_p = pick(top_p, "top_p", 1.0);
  sampling.min_p = pick(min_p, "min_p", 0.0);
  sampling.repetition_penalty = pick(repetition_penalty, "repetition_penalty", 1.0);
  sampling.top_k = top_k ? *top_k : static_cast<int64_t>(pick(std::nullopt, "top_k", 0));
  sampling.presence_penalty = presence_penalty.value_or(0);
  sampling.frequency_penalty = frequency_penalty.value_or(0);
  sampling.min_tokens = min_tokens.value_or(0);
  sampling.logprobs = logprobs.value_or(-1);
  for (const std::string& text : logit_bias) {
    SLUICE_ASSIGN(const auto bias, parse_bias(text));
    sampling.logit_bias.push_back(bias);
  }
  sampling.seed = seed && *seed >= 0
                      ? static_cast<uint64_t>(*seed)
                      : (uint64_t{std::random_device{}()} << 32 | std::random_device{}());
  SLUICE_TRY(runtime::check_sampling(sampling));

  request.max_tokens = max_tokens.value_or(-1);
  request.ignore_eos = ignore_eos;
  request.stop_ids = stop_ids;
  request.stop_strings = stop;

  const auto open = files.tokenizer ? files.tokenizer->find_added("<think>") : std::nullopt;
  const auto close = files.tokenizer ? files.tokenizer->find_added("</think>") : std::nullopt;
  if (reasoning_budget && *reasoning_budget < -1) {
    return usage_error("--reasoning-budget",
                       fmt::format("{} is not -1 (unlimited), 0 or more", *reasoning_budget));
  }
  if (open && close && *close < config.vocabulary) {
    runtime::ThoughtOptions thought;
    thought.open = *open;
    thought.close = *close;
    thought.budget = reasoning_budget.value_or(-1);
    thought.reserve_answer_tokens = reserve_answer_tokens;
    thought.break_loops = !no_loop_breaker;
    thought.loop = loop;
    SLUICE_ASSIGN(thought.closing,
                  files.tokenizer->encode(reasoning_budget_message, {.recognise_added = false}));
    SLUICE_ASSIGN(const auto empty_line, files.tokenizer->encode("\n\n"));
    thought.closing.push_back(*close);
    thought.closing.insert(thought.closing.end(), empty_line.begin(), empty_line.end());
    request.thought = std::move(thought);
  }
  return request;
}

void warn_if_greedy_thinking(const Console& console, const runtime::Request& request,
                             const ModelFiles& files) {
  if (!request.sampling.greedy() || !files.tokenizer) return;
  if (!chat::open_thought(request.prompt, chat::ThinkMarkers::of(*files.tokenizer))) return;
  console.warn(
      "a thinking model run greedily tends to repeat itself; its makers advise --temperature 0.6 "
      "--top-p 0.95 --top-k 20");
}

}  // namespace sluice::cli
