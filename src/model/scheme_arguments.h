// The words of quantization configs to schemes: compressed-tensors' arguments and ModelOpt's
// algorithm names (formats-safetensors.md 3.3 and 3.8). Internal to src/model.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "base/json.h"
#include "base/result.h"
#include "model/quantization_config.h"

namespace sluice::model {

// [128, 128], or "128x128" of older files.
std::optional<std::pair<int64_t, int64_t>> read_block_size(const Json& value);

// "weights" of a config group; the error's `why` lists what is not supported.
Result<ModuleScheme> weight_scheme(const Json& weights);

// "input_activations" of a config group; nothing if no engine of ours knows the recipe.
std::optional<ActivationScheme> activation_scheme(const Json& inputs);
std::string arguments_text(const Json& arguments);  // "4 bits, type float, strategy tensor_group"

// Storage formats of compressed-tensors ("nvfp4-pack-quantized"): known, and fitting the arguments.
// Empty is known and fits everything.
bool is_known_format(const std::string& format);
bool format_fits(const std::string& format, StoredScheme weights);

// A quant_algo of ModelOpt, compared case-insensitively; nothing if it is not supported.
std::optional<ModuleScheme> modelopt_scheme(const std::string& algorithm);

}  // namespace sluice::model
