// The two sources of a TextConfig, and what both have to satisfy. Internal to src/model.
#pragma once

#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "model/config.h"
#include "model/rotary.h"

namespace sluice::model {

Result<TextConfig> read_json_config(const checkpoint::Checkpoint& checkpoint);
Result<TextConfig> read_gguf_config(const checkpoint::Checkpoint& checkpoint);

// Explains a model that is recognised by its architecture or model type and not supported, or any
// foreign one.
Error refuse_architecture(const std::string& source, std::string_view name);

// Sizes against each other (rules Q-13, GG-21) and the rotary table. `source` names the file for
// errors.
Status finish_config(const RotaryParameters& rotary, const std::string& source, TextConfig& config);

}  // namespace sluice::model
