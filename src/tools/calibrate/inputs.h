// What a calibration gathers: which value of a forward pass each linear layer multiplies, and the
// statistics of these values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/binding.h"

namespace sluice::calibrate {

// Several layers may share an input; it is gathered once.
struct LinearLayer {
  std::string module;  // canonical: "layers.3.self_attn.q_proj"
  std::string input;   // as traces name it: "layers.3.input_norm"
  int64_t columns = 0;
  bool head = false;  // makes the model's logits; under tied embeddings the module is embed_tokens
};

// Every matrix of the model's products, in the order of a forward pass; with the draft head's if
// `draft`. The head's rows are those of the text model alone.
std::vector<LinearLayer> linear_layers(const model::Binding& binding, bool draft);

// What an attention layer caches, as traces name it.
struct CachedLayer {
  std::string attention;   // canonical: "layers.3.self_attn"
  std::string key, value;  // keys after rotation
};
std::vector<CachedLayer> cached_layers(const model::TextConfig& config, bool draft);

struct InputStatistics {
  uint64_t rows = 0;
  float amax = 0;               // largest magnitude of any value
  std::vector<double> squares;  // sum of x^2 by column, in the model's own order; empty where only
                                // the magnitude is wanted
  friend bool operator==(const InputStatistics&, const InputStatistics&) = default;
};
using Statistics = std::map<std::string, InputStatistics>;  // by the names of traces

// An entry for all that is to be gathered, nothing seen yet.
Statistics empty_statistics(const model::Binding& binding, bool draft);

}  // namespace sluice::calibrate
