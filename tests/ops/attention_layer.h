// One attention layer without the products around it, fed with inputs that are a function of the
// token.
#pragma once

#include <memory>
#include <vector>

#include "ops/arrays.h"

namespace sluice::ops::testing {

struct AttentionShape {
  int64_t heads = 0, kv_heads = 0, head_dim = 0, rotary_pairs = 0;

  KvSpec kv_spec(int64_t layers, int64_t pages, KvFormat format) const;
};

class AttentionLayer {
 public:
  AttentionLayer(Backend& backend, const AttentionShape& shape, const KvSpec& spec, uint64_t seed);

  // Raw inputs of the pieces' rows, and what attention_input made of them; dense.
  struct Inputs {
    std::vector<float> raw_query_gate, raw_key;
    std::vector<float> query, key, value, query_normed, key_normed;
  };
  Inputs write(std::span<const Piece> pieces, int64_t layer);
  // write(), then attention: per row [heads * head_dim].
  std::vector<std::vector<float>> attend(std::span<const Piece> pieces, int64_t layer,
                                         int64_t first_index = 0);

  KvCache& cache() { return *cache_; }
  const RotaryTable& rotary() const { return rotary_; }
  const std::vector<float>& query_weight() const { return query_weight_; }
  const std::vector<float>& key_weight() const { return key_weight_; }

 private:
  Backend* backend_;
  AttentionShape shape_;
  uint64_t seed_;
  std::vector<float> query_weight_, key_weight_;
  RotaryTable rotary_;
  std::unique_ptr<KvCache> cache_;
};

inline constexpr float kNormEpsilon = 1e-6f;

}  // namespace sluice::ops::testing
