#include "ops/gdn_layers.h"

#include "base/check.h"

namespace sluice::ops::testing {

RecurrentSpec gdn_spec(int key_heads, int value_heads, int key_dim, int value_dim, HeadOrder order,
                       int slots, int pending_rows) {
  RecurrentSpec spec;
  spec.layers = 2;
  spec.key_heads = key_heads;
  spec.value_heads = value_heads;
  spec.key_dim = key_dim;
  spec.value_dim = value_dim;
  spec.head_order = order;
  spec.slots = slots;
  spec.pending_rows = pending_rows;
  return spec;
}

GdnLayers::GdnLayers(Backend& backend, const RecurrentSpec& spec, uint64_t seed)
    : backend_(&backend), spec_(spec), seed_(seed) {
  for (int64_t l = 0; l < spec.layers; ++l) {
    const auto seed_of = [&](uint64_t what) {
      return mix(seed, 100 * static_cast<uint64_t>(l) + what);
    };
    const int64_t channels = spec.conv_channels();
    layers_.push_back(
        {Array(backend, channels, spec.conv_kernel,
               random_values(seed_of(1), channels * spec.conv_kernel), 0),
         Array(backend, 1, spec.value_heads,
               random_values(seed_of(2), spec.value_heads, -1.5f, -0.02f)),
         Array(backend, 1, spec.value_heads, random_values(seed_of(3), spec.value_heads))});
  }
  auto state = backend.create_recurrent_state(spec);
  SLUICE_CHECK(state.ok(), "{}", state.error().message());
  state_ = std::move(state).value();
}

std::vector<std::vector<float>> GdnLayers::step(std::span<const Piece> pieces) {
  const Batch batch = make_batch(pieces);
  const int64_t rows = batch.row_count(), channels = spec_.conv_channels();
  const int64_t heads = spec_.value_heads, keys = spec_.key_width(), values = spec_.value_width();
  std::vector<std::vector<float>> results(static_cast<size_t>(rows));
  const auto collect = [&](const Array& array, int64_t width) {
    const std::vector<float> all = array.get();
    for (int64_t r = 0; r < rows; ++r) {
      auto& result = results[static_cast<size_t>(r)];
      result.insert(result.end(), all.begin() + r * width, all.begin() + (r + 1) * width);
    }
  };

  for (size_t l = 0; l < layers_.size(); ++l) {
    const auto inputs = [&](uint64_t what, int64_t width, float limit) {
      std::vector<float> all;
      for (const Row& row : batch.rows) {
        const auto one = random_values(
            mix(mix(seed_, static_cast<uint64_t>(row.token)), 10 * l + what), width, -limit, limit);
        all.insert(all.end(), one.begin(), one.end());
      }
      return Array(*backend_, rows, width, all);
    };
    const Array raw = inputs(1, channels, 2.0f), a = inputs(2, heads, 3.0f),
                b = inputs(3, heads, 3.0f);
    Array conv(*backend_, rows, channels), query(*backend_, rows, keys), key(*backend_, rows, keys),
        beta(*backend_, rows, heads), g(*backend_, rows, heads), out(*backend_, rows, values);
    const auto layer = static_cast<int64_t>(l);
    backend_->gdn_conv({&batch, raw, layers_[l].conv_weight, state_.get(), layer, conv});
    backend_->gdn_input({conv, a, b, layers_[l].decay, layers_[l].dt_bias, spec_.key_heads,
                         spec_.key_dim, query, key, beta, g});
    backend_->gdn_delta({&batch, query, key, conv.view().column_range(2 * keys, values), beta, g,
                         state_.get(), layer, out});
    collect(conv, channels);
    collect(out, values);
  }
  return results;
}

}  // namespace sluice::ops::testing
