#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

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

// Resident and virtual bytes; 0 where the system does not say.
std::pair<double, double> process_memory() {
  std::ifstream file("/proc/self/statm");
  double virtual_pages = 0, resident_pages = 0;
  file >> virtual_pages >> resident_pages;
  const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
  return {resident_pages * page, virtual_pages * page};
}

}  // namespace

struct Metrics::Families {
  prometheus::Registry registry;
  Labels labels;
  int64_t sequences = 1;
  std::map<std::string, prometheus::Counter*> counters;
  std::map<std::string, prometheus::Gauge*> gauges;
  std::map<std::string, prometheus::Histogram*> histograms;
  prometheus::Family<prometheus::Counter>* finished = nullptr;
  prometheus::Family<prometheus::Counter>* prompt_by_source = nullptr;
  prometheus::Family<prometheus::Counter>* cached_by_source = nullptr;
  prometheus::Family<prometheus::Counter>* http_requests = nullptr;
  prometheus::Family<prometheus::Counter>* disconnects = nullptr;

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
};

Metrics::Metrics(const ModelText& model, int64_t sequences, bool prefix_cache)
    : families_(std::make_unique<Families>()) {
  Families& f = *families_;
  const std::string name = model.names.empty() ? "" : model.names.front();
  f.sequences = sequences;
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
           {"vllm:num_preemptions_total", "Requests that gave their place up for a while"},
           {"vllm:spec_decode_num_draft_tokens_total", "Tokens drafted"},
           {"vllm:spec_decode_num_accepted_tokens_total", "Drafted tokens accepted"},
           {"sluice:prompt_tokens_cached_answers_total",
            "Cached tokens that hang on an answer of this server"},
           {"sluice:prompt_tokens_recomputed_total", "Tokens read although they had been known"},
           {"sluice:reasoning_tokens_total", "Tokens of thoughts"}})
    f.counter(counter, help);
  f.prompt_by_source = &f.counter_family("vllm:prompt_tokens_by_source_total",
                                         "Tokens of prompts by where they came from");
  f.cached_by_source = &f.counter_family("vllm:prompt_tokens_cached_by_source_total",
                                         "Cached tokens of prompts by where they were kept");
  f.finished = &f.counter_family("vllm:request_success_total", "Requests by how they ended");
  for (const char* reason : {"stop", "length", "abort", "error", "repetition"}) {
    Labels labels = f.labels;
    labels["finished_reason"] = reason;
    f.finished->Add(labels);
  }
  f.http_requests = &f.counter_family("http_requests_total", "HTTP requests by route and status");
  f.disconnects =
      &f.counter_family("sluice:client_disconnects_total", "Clients that left, by phase");
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
  f.histogram("vllm:request_params_max_tokens", "max_tokens of a request", tokens);
  f.histogram("vllm:request_params_n", "Choices of a request", kChoices);
}

Metrics::~Metrics() = default;

void Metrics::count(const RequestRecord& record) {
  Families& f = *families_;
  f.http_requests
      ->Add({{"handler", record.route},
             {"method", record.method},
             {"status", std::to_string(record.status / 100) + "xx"}})
      .Increment();
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
  const auto add_by_source = [&](prometheus::Family<prometheus::Counter>& family,
                                 const char* source, int64_t count) {
    Labels by_source = f.labels;
    by_source["source"] = source;
    family.Add(by_source).Increment(static_cast<double>(count));
  };
  add_by_source(*f.prompt_by_source, "local_compute", record.prompt_tokens - record.cached_tokens);
  add_by_source(*f.prompt_by_source, "local_cache_hit", record.cached_tokens);
  add_by_source(*f.cached_by_source, "device", record.cached_tokens);
  add("vllm:prefix_cache_queries_total", record.prompt_tokens);
  add("vllm:generation_tokens_total", record.output_tokens);
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
  observe("vllm:request_params_n", static_cast<double>(record.choices));
  if (record.max_tokens > 0)
    observe("vllm:request_params_max_tokens", static_cast<double>(record.max_tokens));
  if (record.output_tokens > 1) {
    observe("vllm:request_time_per_output_token_seconds",
            record.decode_ms / 1000 / static_cast<double>(record.output_tokens - 1));
  }
}

std::string Metrics::render(const EngineCounters& engine) {
  Families& f = *families_;
  const auto waiting = static_cast<double>(engine.waiting.load());
  const auto running = static_cast<double>(engine.running.load());
  f.gauges["vllm:num_requests_waiting"]->Set(waiting);
  f.gauges["vllm:num_requests_running"]->Set(running);
  f.gauges["vllm:kv_cache_usage_perc"]->Set(
      std::min(1.0, running / static_cast<double>(std::max<int64_t>(f.sequences, 1))));
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, f.registry.Collect());
  const auto [resident, virtual_bytes] = process_memory();
  text << "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes " << std::fixed
       << resident << "\n# TYPE process_virtual_memory_bytes gauge\nprocess_virtual_memory_bytes "
       << virtual_bytes << "\n";
  return text.str();
}

}  // namespace sluice::server
