// Writes whole models with random weights: sizes, formats and names of published ones, contents
// made to keep activations near 1.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"
#include "models/mixture.h"
#include "models/model_shape.h"

namespace sluice::benchmarks {

struct RandomModelOptions {
  uint64_t seed = 1;
  bool overwrite = false;
  std::filesystem::path
      tokenizer;  // tokenizer.json to copy into a safetensors folder; empty: the synthetic one
};

// Bytes of all tensors, padded as the container pads them.
uint64_t gguf_bytes(const ModelShape& shape, const Mixture& mixture);
uint64_t safetensors_bytes(const ModelShape& shape, bool fp8);

// Both refuse, before writing, what does not fit on the disk.
Status write_random_gguf(const std::filesystem::path& file, const ModelShape& shape,
                         const Mixture& mixture, const RandomModelOptions& options);
// A folder: weights (BF16, or FP8 in blocks of 128x128 with BF16 inverse scales), config.json,
// generation_config.json, tokenizer.json, chat_template.jinja. No vision tower.
Status write_random_safetensors(const std::filesystem::path& folder, const ModelShape& shape,
                                bool fp8, const RandomModelOptions& options);

// ---- Shared by the two writers.

// Standard deviation of a matrix whose inputs are near 1: outputs are near 1 too, half of that for
// what is added to the residual stream; logits spread by 3.
float weight_deviation(const Weight& weight);
// Values of a weight that is no matrix, as safetensors stores them: offsets of norms, A_log, ...
std::vector<float> vector_values(const Weight& weight, uint64_t seed);
Status require_space(const std::filesystem::path& where, uint64_t bytes);

}  // namespace sluice::benchmarks
