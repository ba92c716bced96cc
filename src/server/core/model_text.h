// What the server needs of a model beside its weights. The cli opens the files and fills this in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "chat/template.h"
#include "server/core/sampling_defaults.h"
#include "server/core/serving_policy.h"
#include "tokenizer/tokenizer.h"

namespace sluice::server {

struct ModelText {
  const tokenizer::Tokenizer* tokenizer = nullptr;    // borrowed; needed
  const chat::ChatTemplate* chat_template = nullptr;  // borrowed; null: raw prompts only
  std::optional<std::string> bos_token, eos_token;
  Json generation_config;  // object or null
  SamplingDefaults sampling_defaults = SamplingDefaults::kModel;
  ServingPolicy policy;
  std::vector<tokenizer::TokenId> stop_ids;
  int64_t vocabulary = 0;
  int64_t context = 0;                 // of one sequence, as the engine was started
  std::vector<std::string> names;      // what clients may call it; the first is shown
  uint64_t parameters = 0, bytes = 0;  // for the list of models; 0: a script
  int64_t trained_context = 0;
};

}  // namespace sluice::server
