// What the engine is doing and how it was started, as JSON: our own /engine for the page, and the
// read-only parts of llama.cpp's, vLLM's and SGLang's (serving.md, "Minimum API surface").
#include <algorithm>
#include <ctime>

#include "server/api.h"
#include "server/http/json_response.h"
#include "server/process_info.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

constexpr int64_t kPageTokens = 64;

int64_t pages_of(int64_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

Json plan_json(const std::optional<runtime::MemoryPlan>& plan) {
  if (!plan) return {};
  Json body = Json::object();
  body.set("weights", plan->weights);
  body.set("kv", plan->kv);
  body.set("recurrent", plan->recurrent);
  body.set("draft", plan->draft);
  body.set("workspace", plan->workspace);
  body.set("prefix_cache", plan->prefix_cache);
  body.set("total", plan->total());
  body.set("available", plan->available);
  return body;
}

Json requests_json(const std::vector<RequestState>& requests) {
  Json::Array entries;
  for (const RequestState& request : requests) {
    Json entry = Json::object();
    entry.set("id", request.key);
    entry.set("state", !request.started ? "waiting" : request.reads_prompt() ? "prompt" : "answer");
    entry.set("prompt_tokens", request.prompt_tokens);
    entry.set("prompt_read", request.prompt_read);
    entry.set("output_tokens", request.output_tokens);
    entry.set("seconds", request.seconds);
    entries.push_back(std::move(entry));
  }
  return entries;
}

// llama.cpp numbers places of the batch; ours have no numbers, so those taken come first.
Json slots_json(const std::vector<RequestState>& requests, const ServerOptions& options,
                int64_t context) {
  Json::Array slots;
  const auto add = [&](const RequestState* request) {
    Json slot = Json::object();
    slot.set("id", static_cast<int64_t>(slots.size()));
    slot.set("n_ctx", context);
    slot.set("speculative", options.draft_depth > 0);
    slot.set("is_processing", request != nullptr);
    if (request != nullptr) {
      slot.set("id_task", request->key);
      slot.set("n_prompt_tokens", request->prompt_tokens);
      slot.set("n_prompt_tokens_processed", request->prompt_read);
      Json next = Json::object();
      next.set("n_decoded", request->output_tokens);
      slot.set("next_token", Json::Array{std::move(next)});
    }
    slots.push_back(std::move(slot));
  };
  for (const RequestState& request : requests) {
    if (request.started) add(&request);
  }
  while (static_cast<int64_t>(slots.size()) < options.sequences) add(nullptr);
  return slots;
}

// The sampling of a request that names nothing.
Json default_sampling(const ModelText& model) {
  Json params = Json::object();
  const auto add = [&](const char* name, Json fallback) {
    const bool kept = model.sampling_defaults != SamplingDefaults::kNone;
    const Json* stored = kept ? model.generation_config.find(name) : nullptr;
    params.set(name, stored != nullptr && stored->is_number() ? *stored : std::move(fallback));
  };
  add("temperature", 1.0);
  add("top_p", 1.0);
  add("top_k", 0);
  add("min_p", 0.0);
  add("repetition_penalty", 1.0);
  params.set("presence_penalty", 0.0);
  params.set("frequency_penalty", 0.0);
  return params;
}

Json text_or_null(const std::optional<std::string>& text) { return text ? Json(*text) : Json(); }

}  // namespace

PageUse Api::page_use() const {
  PageUse use;
  use.running = host_.counters().running;
  use.sequences = options_.sequences;
  if (const auto known = host_.cache_use()) {
    use.used = known->pages_in_use;
    use.total = known->most_pages;
    return use;
  }
  // A script holds no pages; it is shown as a model would be.
  use.total = pages_of(model_.context) * options_.sequences;
  for (const RequestState& request : host_.requests()) {
    if (request.started) use.used += pages_of(request.prompt_read + request.output_tokens);
  }
  return use;
}

Json Api::engine_json() const {
  const EngineCounters& counters = host_.counters();
  Json body = Json::object();
  body.set("model", model_.names.front());
  body.set("version", options_.version);
  body.set("alive", host_.alive());
  body.set("draining", draining_);
  body.set("paused", host_.paused());
  body.set("uptime_s",
           std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count());
  body.set("context", model_.context);
  body.set("sequences", options_.sequences);
  body.set("running", counters.running.load());
  body.set("waiting", counters.waiting.load());
  body.set("steps", counters.steps.load());
  body.set("prompt_tokens", counters.prompt_tokens.load());
  body.set("generated_tokens", counters.generated_tokens.load());
  body.set("finished_prompt_tokens", counters.finished_prompt_tokens.load());
  body.set("cached_tokens", counters.cached_tokens.load());
  body.set("drafted_tokens", counters.drafted.load());
  body.set("accepted_tokens", counters.accepted.load());
  body.set("requests", requests_json(host_.requests()));
  const PageUse use = page_use();
  Json pages = Json::object();
  pages.set("used", use.used);
  pages.set("total", use.total);
  pages.set("tokens", kPageTokens);
  body.set("pages", std::move(pages));
  if (const auto known = host_.cache_use(); known && known->most_states > 0) {
    Json cache = Json::object();
    cache.set("states", known->states);
    cache.set("most_states", known->most_states);
    cache.set("pages", known->pages);
    if (!options_.lossy_states.empty()) cache.set("states_as", options_.lossy_states);
    if (known->disk.on) {
      cache.set("files", known->disk.files);
      cache.set("disk_bytes", known->disk.bytes);
      cache.set("most_disk_bytes", known->disk.most_bytes);
    }
    body.set("prefix_cache", std::move(cache));
  }
  Json memory = Json::object();
  memory.set("resident", process_info().resident_bytes);
  memory.set("plan", plan_json(options_.plan));
  body.set("memory", std::move(memory));
  return body;
}

// How the server was started, without what is nobody's business: keys, paths.
Json Api::configuration_json() const {
  Json body = Json::object();
  body.set("version", options_.version);
  body.set("model", model_.names.front());
  Json::Array names;
  for (const std::string& name : model_.names) names.emplace_back(name);
  body.set("served_model_names", std::move(names));
  body.set("max_model_len", model_.context);
  body.set("trained_context", model_.trained_context);
  body.set("vocabulary", model_.vocabulary);
  body.set("sequences", options_.sequences);
  body.set("max_queue", options_.max_waiting);
  body.set("draft_depth", options_.draft_depth);
  body.set("cache_state", options_.lossy_states.empty() ? "f32" : options_.lossy_states);
  body.set("strict_models", options_.strict_models);
  body.set("keys_needed", !keys_.open());
  body.set("tls", !options_.tls_certificate.empty());
  body.set("max_body_bytes", static_cast<uint64_t>(options_.limits.body_bytes));
  body.set("max_connections", static_cast<uint64_t>(options_.limits.connections));
  body.set("stalled_client_timeout_ms",
           static_cast<int64_t>(options_.limits.stalled_client.count()));
  body.set("client_backlog", options_.client_backlog);
  body.set("reasoning_budget", options_.thinking.budget);
  constexpr const char* kDefaults[] = {"model", "auto", "none"};
  body.set("sampling_defaults", kDefaults[static_cast<size_t>(model_.sampling_defaults)]);
  body.set("default_sampling", default_sampling(model_));
  body.set("memory_plan", plan_json(options_.plan));
  return body;
}

Json Api::props_json() const {
  Json generation = Json::object();
  generation.set("n_ctx", model_.context);
  generation.set("params", default_sampling(model_));
  Json modalities = Json::object();
  modalities.set("vision", false);
  modalities.set("audio", false);
  Json body = Json::object();
  body.set("default_generation_settings", std::move(generation));
  body.set("total_slots", options_.sequences);
  body.set("model_alias", model_.names.front());
  body.set("model_path", model_.names.front());  // where it lies is nobody's business
  body.set("modalities", std::move(modalities));
  body.set("chat_template",
           model_.chat_template != nullptr ? Json(model_.chat_template->source()) : Json());
  body.set("bos_token", text_or_null(model_.bos_token));
  body.set("eos_token", text_or_null(model_.eos_token));
  body.set("build_info", options_.version);
  return body;
}

Json Api::tokenizer_json() const {
  Json body = Json::object();
  body.set("tokenizer_class", "PreTrainedTokenizerFast");
  body.set("bos_token", text_or_null(model_.bos_token));
  body.set("eos_token", text_or_null(model_.eos_token));
  body.set("pad_token", text_or_null(model_.eos_token));
  body.set("chat_template",
           model_.chat_template != nullptr ? Json(model_.chat_template->source()) : Json());
  return body;
}

void Api::add_engine_routes() {
  const auto show = [this](const char* path, Json (Api::*made)() const) {
    get(path, [this, made](http::Exchange& exchange, RequestRecord&) -> asio::awaitable<void> {
      http::Response response = http::json_response((this->*made)());
      response.headers.set("cache-control", "no-store");
      co_await exchange.respond(std::move(response));
    });
  };
  show("/engine", &Api::engine_json);
  show("/server_info", &Api::configuration_json);
  show("/props", &Api::props_json);
  show("/tokenizer_info", &Api::tokenizer_json);
  get("/slots", [this](http::Exchange& exchange, RequestRecord&) -> asio::awaitable<void> {
    http::Response response =
        http::json_response(slots_json(host_.requests(), options_, model_.context));
    co_await exchange.respond(std::move(response));
  });
}

}  // namespace sluice::server
