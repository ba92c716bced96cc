#include "server/request_log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <cmath>

#include "base/json.h"

namespace sluice::server {
namespace {

double rounded(double ms) { return std::round(ms * 1000) / 1000; }

}  // namespace

std::string request_log_line(const RequestRecord& record) {
  Json line = Json::object();
  line.set("id", record.id);
  line.set("route", record.route);
  line.set("method", record.method);
  line.set("status", record.status);
  line.set("client", record.client);
  line.set("total_ms", rounded(record.total_ms));
  if (!record.finish.empty()) {
    line.set("model", record.model);
    line.set("stream", record.streamed);
    line.set("finish", record.finish);
    if (!record.disconnect.empty()) line.set("disconnect", record.disconnect);
    line.set("prompt_tokens", record.prompt_tokens);
    line.set("cached_tokens", record.cached_tokens);
    line.set("cached_disk_tokens", record.cached_disk_tokens);
    line.set("cached_answer_tokens", record.cached_answer_tokens);
    line.set("recomputed_tokens", record.recomputed_tokens);
    line.set("output_tokens", record.output_tokens);
    line.set("reasoning_tokens", record.reasoning_tokens);
    line.set("drafted", record.drafted);
    line.set("accepted", record.accepted);
    line.set("queue_ms", rounded(record.queue_ms));
    line.set("prompt_ms", rounded(record.prompt_ms));
    line.set("first_token_ms", rounded(record.first_token_ms));
    line.set("decode_ms", rounded(record.decode_ms));
  }
  return line.dump();
}

struct RequestLog::Sink {
  std::shared_ptr<spdlog::logger> logger;
};

RequestLog::RequestLog(const std::string& file, bool quiet) : sink_(std::make_unique<Sink>()) {
  if (file.empty() && quiet) return;
  spdlog::sink_ptr sink;
  if (file.empty()) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file);
  }
  sink->set_pattern("%v");
  sink_->logger = std::make_shared<spdlog::logger>("requests", std::move(sink));
  sink_->logger->flush_on(spdlog::level::info);
}

RequestLog::~RequestLog() = default;

void RequestLog::write(const RequestRecord& record) {
  if (sink_->logger) sink_->logger->info(request_log_line(record));
}

}  // namespace sluice::server
