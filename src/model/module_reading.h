// One module's stored tensors to one encoded weight. The stored dtypes decide the layout, the
// configs are cross-checked (formats-safetensors.md sections 2 and 5). Internal to src/model.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "model/expected_weights.h"
#include "model/problem.h"
#include "model/quantization_config.h"
#include "tensor/matrix.h"

namespace sluice::model {

// By leaf: "weight", "weight_scale", ...
using ModuleTensors = std::map<std::string, const checkpoint::StoredTensor*, std::less<>>;

struct UsedTensor {
  const checkpoint::StoredTensor* stored = nullptr;
  std::string purpose;  // empty for the codes, "scales", "tensor scale", ...
};

struct ModuleReading {
  std::optional<EncodedMatrix> matrix;  // nothing: it cannot be used, and a problem says why
  std::vector<UsedTensor> used;         // codes first
  std::vector<Problem> problems;        // errors of the draft head are not yet softened
};

// `announced`: what each JSON source says of the module, empty without any.
ModuleReading read_safetensors_module(const ExpectedWeight& expected, const ModuleTensors& tensors,
                                      std::span<const ModuleScheme> announced);
ModuleReading read_gguf_module(const ExpectedWeight& expected, const ModuleTensors& tensors);

// A norm, convolution or decay: plain floats of the expected shape, all finite.
ModuleReading read_vector(const ExpectedWeight& expected, const checkpoint::StoredTensor& stored);

}  // namespace sluice::model
