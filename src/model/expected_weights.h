// Which weights a model of this family has: role, canonical name, shape and treatment of each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/binding.h"
#include "model/config.h"

namespace sluice::model {

struct ExpectedWeight {
  enum class Kind : uint8_t {
    kLinear,  // a matrix of a product
    kTable,   // the embedding: looked up
    kVector,  // norms, convolution, decays: stored as plain floats in every format
  };
  Part part = Part::kText;
  std::string role;          // "layers.3.attention.query_gate"
  std::string module, leaf;  // canonical: "layers.3.self_attn.q_proj", "weight"
  int64_t rows = 1, columns = 0;
  Kind kind = Kind::kLinear;
  Transform transform = Transform::kNone;
  bool optional = false;
};

// `ready_values`: the file holds 1 + w for norms and -exp(A_log) (GGUF; MLX's conversions hold 1 +
// w only).
struct StoredConventions {
  bool norms_ready = false;
  bool decay_ready = false;
};

// The text model's weights in the order of a forward pass, then the draft head's.
std::vector<ExpectedWeight> expected_text_weights(const TextConfig& config,
                                                  StoredConventions conventions);
std::vector<ExpectedWeight> expected_mtp_weights(const TextConfig& config,
                                                 StoredConventions conventions);

}  // namespace sluice::model
