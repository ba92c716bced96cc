// Dimensions of the family's members, and the weights that follow from them under both naming
// schemes (spec/architecture.md 2.5 and 3, spec/formats-gguf.md 3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::benchmarks {

struct ModelShape {
  std::string name;  // "27B"
  int64_t layers = 0, hidden = 0, intermediate = 0;
  int64_t query_heads = 0, kv_heads = 0, head_dim = 256;
  int64_t key_heads = 16, value_heads = 0, gdn_head_dim = 128, conv_kernel = 4;
  int64_t vocabulary = 248320;
  int64_t context = 262144;
  int64_t attention_interval = 4;  // layer i is full attention when (i + 1) is a multiple
  bool tied = false, draft_head = true;

  bool is_attention(int64_t layer) const {
    return layer >= layers || (layer + 1) % attention_interval == 0;  // the draft block is
  }
  int64_t blocks() const { return layers + (draft_head ? 1 : 0); }
  int64_t convolution_channels() const { return (2 * key_heads + value_heads) * gdn_head_dim; }
  int64_t rotary_pairs() const { return head_dim / 8; }  // a quarter of the dims are rotated
};

// "0.8B", "2B", "4B", "9B", "27B".
std::optional<ModelShape> published_shape(std::string_view name);

// What is wrong with a shape that the user put together; nothing if it makes a model.
std::optional<std::string> shape_problem(const ModelShape& shape);

enum class WeightKind {
  kTable,  // embedding
  kHead,
  kLinear,
  kNorm,       // stored as an offset in safetensors, ready in GGUF
  kPlainNorm,  // ready in both
  kConvolution,
  kDecay,     // A_log, or -exp(A_log)
  kTimeBias,  // dt_bias
};

struct Weight {
  std::string safetensors_name, gguf_name;
  WeightKind kind = WeightKind::kLinear;
  int64_t rows = 1, columns = 0;  // vectors have one row
  int64_t block = -1;             // layer, draft block included; -1: of the whole model
  bool fp8 = false;               // one of the linears that FP8 releases quantize
};

// All weights: embedding, blocks in order, final norm, head (if untied).
std::vector<Weight> weights_of(const ModelShape& shape);

}  // namespace sluice::benchmarks
