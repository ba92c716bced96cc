// An answer as one JSON object: the fields that spec/cli.md names under `sluice generate`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "runtime/engine.h"

namespace sluice::cli {

struct GivenAnswer {
  std::vector<int32_t> ids;
  std::vector<runtime::SampledToken> logprobs;
  std::string text;
  std::optional<std::string> reasoning = {};  // where a thought is kept apart from the text
  runtime::RequestReport report = {};
};

Json answer_json(const GivenAnswer& answer, const runtime::Request& request, double load_ms);

}  // namespace sluice::cli
