// Softmax attention of query rows over the keys of their own sample, forward and backward.
//
// Serves all three uses in training: every row over its own past (text layers and the draft head's
// first step), chosen rows only (where a loss is), and the draft head's later steps, whose rows see
// the sample's slots up to their start and the few slots of their own chain beside them.
#pragma once

#include <cstdint>
#include <span>

namespace sluice::distill {

struct AttentionShape {
  int64_t query_heads = 0, kv_heads = 0, head_dim = 0;
  int64_t extras = 0;  // chain keys a query row has beside the shared ones
};

// Rows [row_begin, row_end) read keys [key_begin, key_end): one sample.
struct AttentionGroup {
  int64_t row_begin = 0, row_end = 0, key_begin = 0, key_end = 0;
};

// Elements of the probabilities that the forward pass keeps.
int64_t attention_trace_size(const AttentionShape& shape, std::span<const AttentionGroup> groups);

// q: [rows, query_heads, head_dim]; k, v: [keys, kv_heads, head_dim]; extra_k, extra_v: [rows,
// extras, kv_heads, head_dim]; last[row]: the last shared key a row sees, an absolute index within
// its group. out: [rows, query_heads * head_dim]. Query head h reads kv head h / (heads /
// kv_heads); scores are scaled by head_dim^-1/2 (architecture.md 4.4).
template <typename T>
struct AttentionInputs {
  const T *q = nullptr, *k = nullptr, *v = nullptr, *extra_k = nullptr, *extra_v = nullptr;
  const int64_t* last = nullptr;
};
template <typename T>
void attention_forward(const AttentionShape& shape, std::span<const AttentionGroup> groups,
                       const AttentionInputs<T>& inputs, T* probabilities, T* out);

// All gradients are added to; the caller clears them.
template <typename T>
struct AttentionGradients {
  T *q = nullptr, *k = nullptr, *v = nullptr, *extra_k = nullptr, *extra_v = nullptr;
};
template <typename T>
void attention_backward(const AttentionShape& shape, std::span<const AttentionGroup> groups,
                        const AttentionInputs<T>& inputs, const T* probabilities, const T* dout,
                        const AttentionGradients<T>& gradients);

}  // namespace sluice::distill
