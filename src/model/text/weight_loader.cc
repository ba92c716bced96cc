#include "model/text/weight_loader.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "codec/codec.h"

namespace sluice::model {
namespace {

constexpr int64_t kAlignment = 16;  // floats: each vector begins at a cache line

int64_t padded_elements(const BoundWeight& weight) {
  const int64_t elements = weight.matrix.rows * weight.matrix.columns;
  return (elements + kAlignment - 1) / kAlignment * kAlignment;
}

// The values a vector has in the arithmetic, in F32.
std::vector<float> vector_values(const BoundWeight& weight) {
  std::vector<float> values(static_cast<size_t>(weight.matrix.rows * weight.matrix.columns));
  codec::decode_rows(weight.matrix, 0, weight.matrix.rows, values.data());
  for (float& value : values) {
    if (weight.transform == Transform::kAddOne) value = 1.0f + value;
    // In double and rounded once: within half an ulp, as good as any float32 exp of the reference.
    if (weight.transform == Transform::kMinusExp)
      value = -static_cast<float>(std::exp(static_cast<double>(value)));
  }
  return values;
}

ops::MatrixUse use_of(const std::string& role) {
  return role == "embedding" || role == "mtp.embedding" ? ops::MatrixUse::kLookup
                                                        : ops::MatrixUse::kProduct;
}

}  // namespace

uint64_t WeightLoader::vector_bytes(const Binding& binding, Part part) {
  int64_t elements = 0;
  for (const BoundWeight& weight : binding.weights) {
    if (weight.part == part && weight.vector) elements += padded_elements(weight);
  }
  return static_cast<uint64_t>(elements) * sizeof(float);
}

uint64_t WeightLoader::matrix_bytes(const Binding& binding, const ops::Backend& backend,
                                    Part part) {
  uint64_t bytes = 0;
  for (const BoundWeight& weight : binding.weights) {
    if (weight.part != part || weight.vector) continue;
    bytes += backend.matrix_bytes(weight.matrix, use_of(weight.role));
    // Tied: the embedding is taken in a second time, as a product.
    if (weight.role == "embedding" && binding.config.tied)
      bytes += backend.matrix_bytes(weight.matrix, ops::MatrixUse::kProduct);
  }
  return bytes;
}

uint64_t WeightLoader::stored_bytes(const Binding& binding, Part part) {
  uint64_t bytes = 0;
  for (const BoundWeight& weight : binding.weights) {
    if (weight.part == part) bytes += stored_bytes(weight);
  }
  return bytes;
}

uint64_t WeightLoader::stored_bytes(const BoundWeight& weight) {
  uint64_t bytes = 0;
  for (const checkpoint::StoredTensor* stored : weight.stored) bytes += stored->bytes.size();
  return bytes;
}

bool WeightLoader::stays_cached(uint64_t stored, uint64_t packed, uint64_t available) {
  const uint64_t left = available > packed ? available - packed : 0;
  return stored <= left - left / 4;
}

const BoundWeight& WeightLoader::find(const std::string& role) const {
  const BoundWeight* weight = binding_.find(role);
  SLUICE_CHECK(weight != nullptr, "{} is not bound; require_runnable() comes before load()", role);
  return *weight;
}

void WeightLoader::count(const BoundWeight& weight) {
  done_ += stored_bytes(weight);
  if (progress_) progress_(done_, total_);
}

Result<std::unique_ptr<ops::DeviceBuffer>> WeightLoader::begin_vectors(Part part) {
  SLUICE_ASSIGN(auto buffer, backend_.allocate(vector_bytes(binding_, part)));
  vectors_ = buffer.get();
  next_ = 0;
  return buffer;
}

Status WeightLoader::matrix(const std::string& role, MatrixPointer& out, ops::MatrixUse use) {
  const BoundWeight& weight = find(role);
  SLUICE_ASSIGN(out, backend_.load_matrix(weight.matrix, use));
  if (use == ops::MatrixUse::kProduct) products_.push_back(out.get());
  // A tied embedding comes twice: as a table, which counts and stays in use, and as the head.
  const bool again = use != use_of(role);
  if (!again) count(weight);
  if (again || use == ops::MatrixUse::kLookup) return {};
  drop_source(weight);
  return {};
}

// The peak while loading stays within the plan: pages of a file that were repacked are not read
// again. What cannot all stay cached is given back whole: the kernel would make room by taking what
// it has not seen used for longest, which are the weights not packed yet; and memory just given
// back is cheaper to pack into than memory that a virtual machine must first get from its host
// (docs/decisions/loading.md).
void WeightLoader::drop_source(const BoundWeight& weight) {
  for (const checkpoint::StoredTensor* stored : weight.stored) {
    const MappedFile& mapping = checkpoint_.mapping(*stored);
    stays_cached_ ? mapping.drop(stored->bytes) : mapping.forget(stored->bytes);
  }
}

void WeightLoader::vector(const std::string& role, ops::View& out) {
  const BoundWeight& weight = find(role);
  out = {vectors_, next_, weight.matrix.rows, weight.matrix.columns, weight.matrix.columns};
  next_ += padded_elements(weight);
  backend_.upload(out, vector_values(weight));
  count(weight);
}

Status WeightLoader::layer(const std::string& prefix, LayerType type, int64_t state_layer,
                           LayerWeights& out) {
  out.type = type;
  out.state_layer = state_layer;
  vector(prefix + "input_norm", out.input_norm);
  if (type == LayerType::kFullAttention) {
    const std::string role = prefix + "attention.";
    SLUICE_TRY(matrix(role + "query_gate", out.attention.query_gate));
    SLUICE_TRY(matrix(role + "key", out.attention.key));
    SLUICE_TRY(matrix(role + "value", out.attention.value));
    SLUICE_TRY(matrix(role + "out", out.attention.out));
    vector(role + "query_norm", out.attention.query_norm);
    vector(role + "key_norm", out.attention.key_norm);
  } else {
    const std::string role = prefix + "gdn.";
    SLUICE_TRY(matrix(role + "in_qkv", out.gdn.qkv));
    SLUICE_TRY(matrix(role + "in_z", out.gdn.z));
    SLUICE_TRY(matrix(role + "in_b", out.gdn.b));
    SLUICE_TRY(matrix(role + "in_a", out.gdn.a));
    SLUICE_TRY(matrix(role + "out", out.gdn.out));
    vector(role + "conv", out.gdn.conv);
    vector(role + "decay", out.gdn.decay);
    vector(role + "dt_bias", out.gdn.dt_bias);
    vector(role + "norm", out.gdn.norm);
  }
  vector(prefix + "post_norm", out.post_norm);
  SLUICE_TRY(matrix(prefix + "mlp.gate", out.mlp.gate));
  SLUICE_TRY(matrix(prefix + "mlp.up", out.mlp.up));
  return matrix(prefix + "mlp.down", out.mlp.down);
}

}  // namespace sluice::model
