// The trained model as a checkpoint in the published layout.
#pragma once

#include <filesystem>

#include "base/json.h"
#include "base/result.h"
#include "tools/distill/model_folder.h"
#include "tools/distill/parameters.h"
#include "tools/distill/train_config.h"

namespace sluice::distill {

// Writes model.safetensors, config.json, generation_config.json and the tokenizer's files into
// `folder`, replacing what an earlier export left; each file appears whole or not at all.
// `published` is the text config; token ids of the stop tokens and the dtype are set here.
Status export_model(const std::filesystem::path& folder, const ParameterSet& parameters,
                    Json published, const TextTools& tools, Precision format,
                    const Json& generation);

}  // namespace sluice::distill
