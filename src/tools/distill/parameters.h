// The weights being trained, and how they map to the published tensors (architecture.md section 3,
// mtp.md section 1).
//
// Projections that read the same input are one matrix here, so that a step makes fewer and larger
// products; the published tensors are its rows in order.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "checkpoint/checkpoint.h"
#include "model/config.h"

namespace sluice::distill {

// A published tensor: the next elements of its parameter, row-major.
struct PublishedPart {
  std::string name;
  std::vector<int64_t> shape;
};

enum class ParameterKind {
  kMatrix,  // weight decay; cast to the compute type
  kVector,  // norms, gates, convolution taps: no decay, always full precision
};

struct Parameter {
  ParameterKind kind = ParameterKind::kMatrix;
  std::vector<PublishedPart> parts;
  torch::Tensor value;  // float (double in tests), a leaf that requires gradients

  const std::string& name() const { return parts.front().name; }
};

// Indices into the list of parameters; -1 for what a layer does not have.
struct MlpIndex {
  size_t norm = 0, gate_up = 0, down = 0;
};
struct AttentionIndex {
  size_t q = 0, kv = 0, q_norm = 0, k_norm = 0, out = 0;
};
struct GdnIndex {
  size_t in = 0, conv = 0, a_log = 0, dt_bias = 0, norm = 0, out = 0;
};
struct LayerIndex {
  model::LayerType type = model::LayerType::kFullAttention;
  size_t input_norm = 0;
  AttentionIndex attention;  // if type is kFullAttention
  GdnIndex gdn;              // otherwise
  MlpIndex mlp;
};

struct ParameterSet {
  std::vector<Parameter> all;
  size_t embedding = 0, final_norm = 0, head = 0;  // head == embedding if tied
  std::vector<LayerIndex> layers;
  // Draft head, if config.mtp_layers is 1.
  size_t mtp_embedding_norm = 0, mtp_hidden_norm = 0, mtp_fc = 0, mtp_norm = 0;
  LayerIndex mtp_layer;

  int64_t count() const;  // numbers in all parameters
};

struct InitOptions {
  uint64_t seed = 0;
  double deviation = 0.02;  // of matrices; those that write into the residual stream are divided by
                            // the root of twice the number of layers
};

// All parameters of a model, at random.
ParameterSet make_parameters(const model::TextConfig& config, const InitOptions& options);

// Fills the parameters from a checkpoint of the same geometry; every tensor must be there, as BF16,
// F16 or F32 (draft-head tensors only if the checkpoint has any: otherwise they stay as they are).
Status load_parameters(const checkpoint::Checkpoint& checkpoint, ParameterSet& parameters);

}  // namespace sluice::distill
