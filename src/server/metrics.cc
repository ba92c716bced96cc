#include "server/metrics.h"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/summary.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "server/process_info.h"

namespace sluice::server {
namespace {

using Labels = prometheus::Labels;
using Buckets = prometheus::Histogram::BucketBoundaries;

const Buckets kFirstToken = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
                             1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};
const Buckets kBetweenTokens = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3,
                                0.4,   0.5,    0.75,  1,    2.5,   5,    7.5,   10,  20,   40,  80};
const Buckets kLatency = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                          30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};
const Buckets kChoices = {1, 2, 5, 10, 20};
const Buckets kHttp = {0.1, 0.5, 1};
const Buckets kHttpFine = {0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1,  1.5, 2,
                           2.5,  3,     3.5,  4,     4.5, 5,    7.5, 10,   30, 60};
// More than the deepest draft: every position has its series from the start.
constexpr int kDraftPositions = 8;

// 1, 2, 5, 10, ... up to the context.
Buckets token_buckets(int64_t context) {
  Buckets buckets;
  for (int64_t power = 1; power <= context; power *= 10) {
    for (const int64_t step : {1, 2, 5}) {
      if (step * power <= context) buckets.push_back(static_cast<double>(step * power));
    }
  }
  return buckets;
}

// A label's value in the text format.
std::string escaped(const std::string& value) {
  std::string out;
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

// The process's own series, under the names that every Prometheus client library uses.
void append_process(std::ostream& text) {
  const ProcessInfo info = process_info();
  const auto add = [&](const char* name, const char* type, double value) {
    text << fmt::format("# TYPE {0} {1}\n{0} {2}\n", name, type, value);
  };
  add("process_resident_memory_bytes", "gauge", static_cast<double>(info.resident_bytes));
  add("process_virtual_memory_bytes", "gauge", static_cast<double>(info.virtual_bytes));
  add("process_cpu_seconds_total", "counter", info.cpu_seconds);
  add("process_open_fds", "gauge", static_cast<double>(info.open_descriptors));
  add("process_max_fds", "gauge", static_cast<double>(info.most_descriptors));
  add("process_start_time_seconds", "gauge", info.start_seconds);
}

// The disk tier counts for itself; these are its counts as they are.
void append_disk(std::ostream& text, const runtime::DiskUse& disk, const Labels& labels) {
  std::string common;
  for (const auto& [name, value] : labels)
    common += fmt::format("{}{}=\"{}\"", common.empty() ? "" : ",", name, escaped(value));
  const auto family = [&](const char* name, const char* type, const char* help) {
    text << fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
  };
  const auto sample = [&](const char* name, const std::string& more, uint64_t value) {
    text << fmt::format("{}{{{}{}}} {}\n", name, common, more, value);
  };
  constexpr const char* kWrites = "sluice:disk_cache_writes_total";
  family(kWrites, "counter",
         "Prompts for the disk cache: written, dropped (the disk too slow, the budget too small), "
         "failed (the disk did not take them)");
  sample(kWrites, ",outcome=\"written\"", disk.written);
  sample(kWrites, ",outcome=\"dropped\"", disk.dropped);
  sample(kWrites, ",outcome=\"failed\"", disk.failed);
  constexpr const char* kDamaged = "sluice:disk_cache_damaged_files_total";
  family(kDamaged, "counter", "Files of the disk cache that were found damaged, and removed");
  sample(kDamaged, "", disk.damaged);
  constexpr const char* kFiles = "sluice:disk_cache_files";
  family(kFiles, "gauge", "Files of the disk cache, by whether they are of this model and build");
  sample(kFiles, ",owner=\"own\"", static_cast<uint64_t>(disk.files - disk.foreign));
  sample(kFiles, ",owner=\"foreign\"", static_cast<uint64_t>(disk.foreign));
  constexpr const char* kBytes = "sluice:disk_cache_bytes";
  family(kBytes, "gauge", "Bytes of all files of the disk cache");
  sample(kBytes, "", disk.bytes);
}

Buckets step_buckets() {
  Buckets buckets;
  for (const int64_t bound : EngineCounters::kStepBounds)
    buckets.push_back(static_cast<double>(bound));
  return buckets;
}

}  // namespace

struct Metrics::Families {
  prometheus::Registry registry;
  Labels labels;
  std::map<std::string, prometheus::Counter*> counters;
  std::map<std::string, prometheus::Gauge*> gauges;
  std::map<std::string, prometheus::Histogram*> histograms;
  prometheus::Family<prometheus::Counter>* finished = nullptr;
  prometheus::Family<prometheus::Counter>* http_requests = nullptr;
  prometheus::Family<prometheus::Counter>* disconnects = nullptr;
  prometheus::Family<prometheus::Counter>* accepted_at = nullptr;
  prometheus::Family<prometheus::Counter>* by_source = nullptr;
  prometheus::Family<prometheus::Counter>* cached_by_source = nullptr;
  prometheus::Family<prometheus::Counter>* parser = nullptr;
  prometheus::Gauge* waiting_for_room = nullptr;
  prometheus::Counter* rejections = nullptr;
  prometheus::Family<prometheus::Histogram>* http_duration = nullptr;
  prometheus::Histogram* http_fine = nullptr;
  prometheus::Histogram* token_gap = nullptr;  // used by the engine's thread
  prometheus::Family<prometheus::Summary>* http_request_size = nullptr;
  prometheus::Family<prometheus::Summary>* http_response_size = nullptr;
  // What of the engine's counts is in the histogram of steps already.
  std::vector<double> steps_seen;
  double step_tokens_seen = 0;

  prometheus::Family<prometheus::Counter>& counter_family(const std::string& name,
                                                          const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  void counter(const std::string& name, const char* help) {
    counters[name] = &counter_family(name, help).Add(labels);
  }
  void gauge(const std::string& name, const char* help) {
    gauges[name] = &prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(labels);
  }
  void histogram(const std::string& name, const char* help, const Buckets& buckets) {
    histograms[name] =
        &prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add(labels, buckets);
  }
  // The engine's thread only counts; what came since the last look goes into the histogram here.
  void take_steps(const EngineCounters& engine) {
    std::vector<double> fresh(steps_seen.size());
    for (size_t i = 0; i < fresh.size(); ++i) {
      const auto now = static_cast<double>(engine.steps_by_tokens[i].load());
      fresh[i] = now - std::exchange(steps_seen[i], now);
    }
    const auto tokens = static_cast<double>(engine.prompt_tokens + engine.generated_tokens);
    const double fresh_tokens = tokens - std::exchange(step_tokens_seen, tokens);
    histograms["vllm:iteration_tokens_total"]->ObserveMultiple(fresh, fresh_tokens);
  }
};

Metrics::Metrics(const ModelText& model, int64_t sequences, bool prefix_cache,
                 const std::string& lossy_states)
    : families_(std::make_unique<Families>()) {
  Families& f = *families_;
  const std::string name = model.names.empty() ? "" : model.names.front();
  f.labels = {{"model_name", name}, {"engine", "0"}};
  f.gauge("vllm:num_requests_waiting", "Requests that wait for a place in the batch");
  f.gauge("vllm:num_requests_running", "Requests in the running batch");
  f.gauge("vllm:kv_cache_usage_perc", "Share of the sequences' memory in use, 0 to 1");
  prometheus::BuildGauge()
      .Name("vllm:cache_config_info")
      .Help("The cache's shape as labels")
      .Register(f.registry)
      .Add({{"model_name", name},
            {"engine", "0"},
            {"block_size", "64"},
            {"hash_block_size", "64"},
            {"num_gpu_blocks", std::to_string(model.context / 64 * sequences)},
            {"num_cpu_blocks", "0"},
            {"enable_prefix_caching", prefix_cache ? "True" : "False"},
            {"cache_dtype", "auto"},
            {"saved_states", lossy_states.empty() ? "f32" : lossy_states},
            {"gpu_memory_utilization", "0"},
            {"kv_cache_size_tokens", std::to_string(model.context * sequences)},
            {"kv_cache_max_concurrency", std::to_string(sequences)}})
      .Set(1);
  prometheus::BuildGauge()
      .Name("vllm:lora_requests_info")
      .Help("No adapters are loaded")
      .Register(f.registry)
      .Add({{"max_lora", "0"}, {"running_lora_adapters", ""}, {"waiting_lora_adapters", ""}})
      .SetToCurrentTime();
  for (const auto& [counter, help] : std::initializer_list<std::pair<const char*, const char*>>{
           {"vllm:prompt_tokens_total", "Tokens of prompts"},
           {"vllm:generation_tokens_total", "Tokens of answers"},
           {"vllm:prompt_tokens_cached_total", "Tokens of prompts that were not read again"},
           {"vllm:prefix_cache_queries_total", "Tokens looked up in the prefix cache"},
           {"vllm:prefix_cache_hits_total", "Tokens found in the prefix cache"},
           {"vllm:external_prefix_cache_queries_total", "None: there is no external cache"},
           {"vllm:external_prefix_cache_hits_total", "None: there is no external cache"},
           {"vllm:mm_cache_queries_total", "None: only text is taken"},
           {"vllm:mm_cache_hits_total", "None: only text is taken"},
           {"vllm:num_preemptions_total", "Requests that gave their place up for a while"},
           {"vllm:spec_decode_num_drafts_total", "Verification steps with drafts"},
           {"vllm:spec_decode_num_draft_tokens_total", "Tokens drafted"},
           {"vllm:spec_decode_num_accepted_tokens_total", "Drafted tokens accepted"},
           {"sluice:prompt_tokens_cached_answers_total",
            "Cached tokens that hang on an answer of this server"},
           {"sluice:prompt_tokens_recomputed_total", "Tokens read although they had been known"},
           {"sluice:reasoning_tokens_total", "Tokens of thoughts"}})
    f.counter(counter, help);
  f.finished = &f.counter_family("vllm:request_success_total", "Requests by how they ended");
  for (const char* reason : {"stop", "length", "abort", "error", "repetition"}) {
    Labels labels = f.labels;
    labels["finished_reason"] = reason;
    f.finished->Add(labels);
  }
  const auto labelled = [&](const char* key, const std::string& value) {
    Labels labels = f.labels;
    labels[key] = value;
    return labels;
  };
  f.accepted_at = &f.counter_family("vllm:spec_decode_num_accepted_tokens_per_pos_total",
                                    "Drafted tokens accepted, by position");
  for (int position = 0; position < kDraftPositions; ++position)
    f.accepted_at->Add(labelled("position", std::to_string(position)));
  f.by_source = &f.counter_family("vllm:prompt_tokens_by_source_total",
                                  "Tokens of prompts by where they came from");
  for (const char* source : {"local_compute", "local_cache_hit", "external_kv_transfer"})
    f.by_source->Add(labelled("source", source));
  f.cached_by_source = &f.counter_family("vllm:prompt_tokens_cached_by_source_total",
                                         "Tokens of prompts that were not read again");
  for (const char* source : {"device", "host", "disk", "p2p", "external_unspecified"})
    f.cached_by_source->Add(labelled("source", source));
  auto& waiting = prometheus::BuildGauge()
                      .Name("vllm:num_requests_waiting_by_reason")
                      .Help("Requests that wait for a place in the batch, by why")
                      .Register(f.registry);
  f.waiting_for_room = &waiting.Add(labelled("reason", "capacity"));
  waiting.Add(labelled("reason", "deferred"));
  f.rejections = &f.counter_family("vllm:admission_rejections_total", "Requests refused with 429")
                      .Add({{"model_name", name}, {"reason", "max_num_queued_reqs"}});
  f.parser = &f.counter_family("vllm:tool_call_parser_invocations_total",
                               "Answers with tools offered, by whether one was called");
  f.http_requests = &f.counter_family("http_requests_total", "HTTP requests by route and status");
  f.disconnects =
      &f.counter_family("sluice:client_disconnects_total", "Clients that left, by phase");
  f.http_duration = &prometheus::BuildHistogram()
                         .Name("http_request_duration_seconds")
                         .Help("From the whole request to the end of its answer, by route")
                         .Register(f.registry);
  f.http_fine = &prometheus::BuildHistogram()
                     .Name("http_request_duration_highr_seconds")
                     .Help("The same over all routes, in finer steps")
                     .Register(f.registry)
                     .Add({}, kHttpFine);
  f.http_request_size = &prometheus::BuildSummary()
                             .Name("http_request_size_bytes")
                             .Help("Bytes of requests' bodies")
                             .Register(f.registry);
  f.http_response_size = &prometheus::BuildSummary()
                              .Name("http_response_size_bytes")
                              .Help("Bytes of answers")
                              .Register(f.registry);
  f.histogram("vllm:inter_token_latency_seconds", "Between two tokens of one answer",
              kBetweenTokens);
  f.token_gap = f.histograms["vllm:inter_token_latency_seconds"];
  f.histogram("vllm:iteration_tokens_total", "Tokens of one step of the engine", step_buckets());
  f.steps_seen.resize(EngineCounters::kStepBounds.size() + 1);
  f.histogram("vllm:time_to_first_token_seconds", "From arrival to the first token", kFirstToken);
  f.histogram("vllm:request_time_per_output_token_seconds", "Mean time of a token, per request",
              kBetweenTokens);
  f.histogram("vllm:e2e_request_latency_seconds", "From arrival to the last byte", kLatency);
  f.histogram("vllm:request_queue_time_seconds", "Waiting for a place in the batch", kLatency);
  f.histogram("vllm:request_prefill_time_seconds", "Reading the prompt", kLatency);
  f.histogram("vllm:request_decode_time_seconds", "From the first to the last token", kLatency);
  f.histogram("vllm:request_inference_time_seconds", "From the start to the last token", kLatency);
  const Buckets tokens = token_buckets(model.context);
  f.histogram("vllm:request_prompt_tokens", "Tokens of a prompt", tokens);
  f.histogram("vllm:request_generation_tokens", "Tokens of an answer", tokens);
  f.histogram("vllm:request_max_num_generation_tokens", "Tokens of the longest choice", tokens);
  f.histogram("vllm:request_prefill_kv_computed_tokens", "Tokens of a prompt that were read",
              tokens);
  f.histogram("vllm:request_params_max_tokens", "max_tokens of a request", tokens);
  f.histogram("vllm:request_params_n", "Choices of a request", kChoices);
}

Metrics::~Metrics() = default;

void Metrics::count(const RequestRecord& record) {
  Families& f = *families_;
  // A method of the client's invention must not become a label.
  constexpr std::string_view kMethods[] = {"GET", "HEAD", "POST", "DELETE", "OPTIONS"};
  const bool known =
      std::find(std::begin(kMethods), std::end(kMethods), record.method) != std::end(kMethods);
  const std::string method = known ? record.method : "other";
  f.http_requests
      ->Add({{"handler", record.route},
             {"method", method},
             {"status", std::to_string(record.status / 100) + "xx"}})
      .Increment();
  f.http_duration->Add({{"handler", record.route}, {"method", method}}, kHttp)
      .Observe(record.total_ms / 1000);
  f.http_fine->Observe(record.total_ms / 1000);
  const auto size = [&](prometheus::Family<prometheus::Summary>& family, size_t bytes) {
    family.Add({{"handler", record.route}}, prometheus::Summary::Quantiles{})
        .Observe(static_cast<double>(bytes));
  };
  size(*f.http_request_size, record.request_bytes);
  size(*f.http_response_size, record.response_bytes);
  if (record.rejected) f.rejections->Increment();
  if (record.finish.empty()) return;
  Labels labels = f.labels;
  labels["finished_reason"] = record.finish;
  f.finished->Add(labels).Increment();
  if (!record.disconnect.empty()) f.disconnects->Add({{"phase", record.disconnect}}).Increment();
  const auto add = [&](const char* name, int64_t count) {
    f.counters[name]->Increment(static_cast<double>(count));
  };
  add("vllm:prompt_tokens_total", record.prompt_tokens);
  add("vllm:prompt_tokens_cached_total", record.cached_tokens);
  add("vllm:prefix_cache_hits_total", record.cached_tokens);
  add("sluice:prompt_tokens_cached_answers_total", record.cached_answer_tokens);
  add("sluice:prompt_tokens_recomputed_total", record.recomputed_tokens);
  add("vllm:prefix_cache_queries_total", record.prompt_tokens);
  add("vllm:generation_tokens_total", record.output_tokens);
  const auto from = [&](prometheus::Family<prometheus::Counter>& family, const char* source,
                        int64_t count) {
    Labels with_source = f.labels;
    with_source["source"] = source;
    family.Add(with_source).Increment(static_cast<double>(count));
  };
  from(*f.by_source, "local_compute", record.prompt_tokens - record.cached_tokens);
  from(*f.by_source, "local_cache_hit", record.cached_tokens);
  from(*f.cached_by_source, "device", record.cached_tokens - record.cached_disk_tokens);
  from(*f.cached_by_source, "disk", record.cached_disk_tokens);
  add("vllm:spec_decode_num_drafts_total", record.draft_steps);
  for (size_t position = 0; position < record.accepted_by_position.size(); ++position) {
    Labels at = f.labels;
    at["position"] = std::to_string(position);
    f.accepted_at->Add(at).Increment(static_cast<double>(record.accepted_by_position[position]));
  }
  if (record.tools_offered) {
    const std::string type = record.route.ends_with("/chat/completions") ? "chat_completions"
                             : record.route.ends_with("/responses")      ? "responses"
                                                                         : "other";
    f.parser
        ->Add({{"model_name", f.labels["model_name"]},
               {"mode", record.streamed ? "streaming" : "non_streaming"},
               {"outcome", record.tools_called ? "tool_call" : "no_tool_call"},
               {"request_type", type}})
        .Increment();
  }
  add("vllm:spec_decode_num_draft_tokens_total", record.drafted);
  add("vllm:spec_decode_num_accepted_tokens_total", record.accepted);
  add("sluice:reasoning_tokens_total", record.reasoning_tokens);
  if (record.output_tokens == 0) return;
  const auto observe = [&](const char* name, double value) { f.histograms[name]->Observe(value); };
  observe("vllm:time_to_first_token_seconds", record.first_token_ms / 1000);
  observe("vllm:e2e_request_latency_seconds", record.total_ms / 1000);
  observe("vllm:request_queue_time_seconds", record.queue_ms / 1000);
  observe("vllm:request_prefill_time_seconds", record.prompt_ms / 1000);
  observe("vllm:request_decode_time_seconds", record.decode_ms / 1000);
  observe("vllm:request_inference_time_seconds", (record.prompt_ms + record.decode_ms) / 1000);
  observe("vllm:request_prompt_tokens", static_cast<double>(record.prompt_tokens));
  observe("vllm:request_generation_tokens", static_cast<double>(record.output_tokens));
  observe("vllm:request_max_num_generation_tokens", static_cast<double>(record.longest_choice));
  observe("vllm:request_prefill_kv_computed_tokens",
          static_cast<double>(record.prompt_tokens - record.cached_tokens));
  observe("vllm:request_params_n", static_cast<double>(record.choices));
  if (record.max_tokens > 0)
    observe("vllm:request_params_max_tokens", static_cast<double>(record.max_tokens));
  if (record.output_tokens > 1) {
    observe("vllm:request_time_per_output_token_seconds",
            record.decode_ms / 1000 / static_cast<double>(record.output_tokens - 1));
  }
}

void Metrics::observe_token_gap(double seconds) { families_->token_gap->Observe(seconds); }

std::string Metrics::render(const EngineCounters& engine, double kv_use,
                            const runtime::DiskUse& disk) {
  Families& f = *families_;
  const auto waiting = static_cast<double>(engine.waiting.load());
  const auto running = static_cast<double>(engine.running.load());
  f.gauges["vllm:num_requests_waiting"]->Set(waiting);
  f.waiting_for_room->Set(waiting);
  f.gauges["vllm:num_requests_running"]->Set(running);
  f.gauges["vllm:kv_cache_usage_perc"]->Set(kv_use);
  f.take_steps(engine);
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, f.registry.Collect());
  append_process(text);
  if (disk.on) append_disk(text, disk, f.labels);
  return text.str();
}

}  // namespace sluice::server
