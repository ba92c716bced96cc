// Which type each tensor of a GGUF gets (spec/formats-gguf.md 5).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "models/model_shape.h"
#include "tensor/dtype.h"

namespace sluice::benchmarks {

struct Mixture {
  std::string_view name;  // "Q4_K_M"
  uint32_t file_type;     // general.file_type
  DType base;             // most matrices
  DType better;           // the attn_v class and ffn_down in the layers that get more bits
  DType output;           // head, or the tied embedding
};

// "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "BF16", "F16".
std::optional<Mixture> mixture(std::string_view name);

DType gguf_type(const Mixture& mixture, const ModelShape& shape, const Weight& weight);

}  // namespace sluice::benchmarks
