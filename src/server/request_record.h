// What is remembered of one request for the log and the metrics. Never its text.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace sluice::server {

struct RequestRecord {
  std::string id, route, method, model, client;
  int status = 0;
  bool streamed = false;
  std::string finish;  // "stop", "length", "abort", "error"; empty: not a generation
  int64_t choices = 0, max_tokens = 0;
  int64_t prompt_tokens = 0, cached_tokens = 0, output_tokens = 0, reasoning_tokens = 0;
  // As in runtime::RequestReport.
  int64_t cached_disk_tokens = 0, cached_answer_tokens = 0, recomputed_tokens = 0;
  int64_t longest_choice = 0;  // tokens
  int64_t draft_steps = 0, drafted = 0, accepted = 0;
  std::vector<int64_t> accepted_by_position;
  bool tools_offered = false, tools_called = false;  // and parsed
  bool rejected = false;                             // the queue was full
  double queue_ms = 0, prompt_ms = 0, first_token_ms = 0, decode_ms = 0, total_ms = 0;
  std::string disconnect;  // where the client left: "prompt", "stream", "decode", "whole", "slow"
  size_t request_bytes = 0, response_bytes = 0;
};

}  // namespace sluice::server
