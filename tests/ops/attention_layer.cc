#include "ops/attention_layer.h"

#include <cmath>

#include "base/check.h"

namespace sluice::ops::testing {

KvSpec AttentionShape::kv_spec(int64_t layers, int64_t pages, KvFormat format) const {
  KvSpec spec;
  spec.layers = layers;
  spec.heads = kv_heads;
  spec.head_dim = head_dim;
  spec.pages = pages;
  spec.format = format;
  return spec;
}

AttentionLayer::AttentionLayer(Backend& backend, const AttentionShape& shape, const KvSpec& spec,
                               uint64_t seed)
    : backend_(&backend),
      shape_(shape),
      seed_(seed),
      query_weight_(random_values(mix(seed, 1), shape.head_dim, 0.5f, 1.5f)),
      key_weight_(random_values(mix(seed, 2), shape.head_dim, 0.5f, 1.5f)) {
  for (int64_t m = 0; m < shape.rotary_pairs; ++m) {
    const double exponent = -static_cast<double>(m) / static_cast<double>(shape.rotary_pairs);
    rotary_.inverse_frequencies.push_back(static_cast<float>(std::pow(1e7, exponent)));
    rotary_.components.push_back(static_cast<uint8_t>(m % 3));
  }
  rotary_.attention_factor = 1.25f;
  auto cache = backend.create_kv_cache(spec);
  SLUICE_CHECK(cache.ok(), "{}", cache.error().message());
  cache_ = std::move(cache).value();
}

AttentionLayer::Inputs AttentionLayer::write(std::span<const Piece> pieces, int64_t layer) {
  const Batch batch = make_batch(pieces);
  const int64_t rows = batch.row_count(), width = shape_.heads * shape_.head_dim,
                kv_width = shape_.kv_heads * shape_.head_dim;
  const auto inputs = [&](uint64_t what, int64_t columns) {
    std::vector<float> all;
    for (const Row& row : batch.rows) {
      const auto one = random_values(mix(mix(seed_, static_cast<uint64_t>(row.token)), what),
                                     columns, -2.0f, 2.0f);
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  };
  Inputs in;
  in.raw_query_gate = inputs(1, 2 * width);
  in.raw_key = inputs(2, kv_width);
  in.value = inputs(3, kv_width);
  const Array query_gate(*backend_, rows, 2 * width, in.raw_query_gate),
      key(*backend_, rows, kv_width, in.raw_key), value(*backend_, rows, kv_width, in.value),
      query_norm(*backend_, 1, shape_.head_dim, query_weight_),
      key_norm(*backend_, 1, shape_.head_dim, key_weight_);
  Array query(*backend_, rows, width), query_normed(*backend_, rows, width),
      key_normed(*backend_, rows, kv_width);
  backend_->attention_input({&batch, query_gate, key, value, query_norm, key_norm, kNormEpsilon,
                             &rotary_, cache_.get(), layer, query, query_normed, key_normed});
  in.query = query.get();
  in.key = key.get();
  in.query_normed = query_normed.get();
  in.key_normed = key_normed.get();
  return in;
}

std::vector<std::vector<float>> AttentionLayer::attend(std::span<const Piece> pieces, int64_t layer,
                                                       int64_t first_index) {
  const Inputs in = write(pieces, layer);
  const Batch batch = make_batch(pieces);
  const int64_t rows = batch.row_count(), width = shape_.heads * shape_.head_dim;
  const Array query(*backend_, rows, width, in.query);
  Array out(*backend_, rows, width);
  backend_->attention({&batch, query, cache_.get(), layer, first_index, out});
  const std::vector<float> all = out.get();
  std::vector<std::vector<float>> results;
  for (int64_t r = 0; r < rows; ++r) {
    results.emplace_back(all.begin() + r * width, all.begin() + (r + 1) * width);
  }
  return results;
}

}  // namespace sluice::ops::testing
