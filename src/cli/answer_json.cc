#include "cli/answer_json.h"

namespace sluice::cli {
namespace {

Json ids_json(const std::vector<int32_t>& ids) {
  Json::Array items;
  for (const int32_t id : ids) items.emplace_back(id);
  return items;
}

Json counts_json(const std::vector<int64_t>& counts) {
  Json::Array items;
  for (const int64_t count : counts) items.emplace_back(count);
  return items;
}

Json logprobs_json(const std::vector<runtime::SampledToken>& tokens) {
  Json::Array items;
  for (const runtime::SampledToken& token : tokens) {
    Json item = Json::object();
    item.set("id", token.id);
    item.set("logprob", static_cast<double>(token.logprob));
    Json::Array top;
    for (const auto& [id, logprob] : token.top) {
      Json entry = Json::object();
      entry.set("id", id);
      entry.set("logprob", static_cast<double>(logprob));
      top.push_back(std::move(entry));
    }
    item.set("top", std::move(top));
    items.push_back(std::move(item));
  }
  return items;
}

double per_second(int64_t count, double ms) {
  return ms > 0 ? static_cast<double>(count) * 1000.0 / ms : 0.0;
}

}  // namespace

Json answer_json(const GivenAnswer& answer, const runtime::Request& request, double load_ms) {
  const runtime::RequestReport& report = answer.report;
  Json result = Json::object();
  result.set("ids", ids_json(answer.ids));
  result.set("text", answer.text);
  if (answer.reasoning) result.set("reasoning", *answer.reasoning);
  result.set("finish_reason", std::string(runtime::finish_reason_name(report.finish)));
  if (report.stop_string) result.set("stop_reason", *report.stop_string);
  if (report.thought_stop) result.set("reasoning_stop", *report.thought_stop);
  result.set("prompt_tokens", report.prompt_tokens);
  result.set("cached_tokens", report.cached_tokens);
  Json timings = Json::object();
  timings.set("load_ms", load_ms);
  timings.set("prompt_ms", report.prompt_ms);
  timings.set("first_token_ms", report.first_token_ms);
  timings.set("decode_ms", report.decode_ms);
  timings.set("prompt_tps", per_second(report.prompt_tokens, report.prompt_ms));
  timings.set("decode_tps", per_second(report.output_tokens - 1, report.decode_ms));
  result.set("timings", std::move(timings));
  Json draft = Json::object();
  draft.set("depth", report.draft.depth);
  draft.set("steps", report.draft.steps);
  draft.set("proposed", counts_json(report.draft.proposed));
  draft.set("accepted", counts_json(report.draft.accepted));
  draft.set("head_rows", report.draft.mean_head_rows());
  result.set("draft", std::move(draft));
  if (request.sampling.logprobs >= 0) result.set("logprobs", logprobs_json(answer.logprobs));
  return result;
}

}  // namespace sluice::cli
