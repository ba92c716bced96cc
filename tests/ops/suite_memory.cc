// Pages, slots and images.
#include <gtest/gtest.h>

#include <algorithm>

#include "codec/number_formats.h"
#include "ops/attention_layer.h"
#include "ops/backend_suite.h"
#include "ops/gdn_layers.h"

namespace sluice::ops::testing {
namespace {

float stored(KvFormat format, float value, float scale) {
  switch (format) {
    case KvFormat::kF32:
      return value;
    case KvFormat::kBF16:
      return codec::round_to_bf16(value);
    case KvFormat::kFp8:
      return codec::kE4m3Values[codec::f32_to_e4m3(value / scale)] * scale;
  }
  return 0;
}

// Keys and values come back as the format rounds them, from scattered pages, layer by layer.
void check_cache(const BackendFactory& make_backend, KvFormat format) {
  const auto backend = make_backend();
  AttentionShape shape{.heads = 4, .kv_heads = 2, .head_dim = 32, .rotary_pairs = 4};
  KvSpec spec = shape.kv_spec(2, 7, format);
  if (format == KvFormat::kFp8) {
    spec.key_scales = {0.013f, 0.5f};
    spec.value_scales = {1.0f, 0.0071f};
  }
  AttentionLayer layer(*backend, shape, spec, 3);
  const std::vector<int32_t> pages = {5, 0, 3};
  const int count = 140;
  std::vector<int32_t> tokens(count);
  for (int i = 0; i < count; ++i) tokens[static_cast<size_t>(i)] = 1000 + i;
  for (int64_t l = 0; l < 2; ++l) {
    const Piece piece{Role::kPrompt, 0, tokens, 0, 0, pages};
    const AttentionLayer::Inputs in = layer.write({&piece, 1}, l);
    const auto kept = [&](const std::vector<float>& values, const std::vector<float>& scales) {
      const float scale = scales.empty() ? 1.0f : scales[static_cast<size_t>(l)];
      std::vector<float> out;
      for (const float value : values) out.push_back(stored(format, value, scale));
      return out;
    };
    const auto keys = backend->export_keys(layer.cache(), l, pages, count);
    const auto values = backend->export_values(layer.cache(), l, pages, count);
    EXPECT_EQ(bits_of(keys), bits_of(kept(in.key, spec.key_scales)));
    EXPECT_EQ(bits_of(values), bits_of(kept(in.value, spec.value_scales)));
  }

  // A copied page holds what the original held in every layer, and stays when that is overwritten.
  const auto before = [&](int64_t l) { return backend->export_keys(layer.cache(), l, {{0}}, 64); };
  const auto old0 = before(0), old1 = before(1);
  const auto old_values = backend->export_values(layer.cache(), 1, {{0}}, 64);
  backend->copy_page(layer.cache(), 0, 6);
  const Piece overwrite{Role::kPrompt, 64, {tokens.begin(), tokens.begin() + 64}, 0, 0, pages};
  layer.write({&overwrite, 1}, 0);
  layer.write({&overwrite, 1}, 1);
  EXPECT_NE(bits_of(before(0)), bits_of(old0));
  EXPECT_EQ(bits_of(backend->export_keys(layer.cache(), 0, {{6}}, 64)), bits_of(old0));
  EXPECT_EQ(bits_of(backend->export_keys(layer.cache(), 1, {{6}}, 64)), bits_of(old1));
  EXPECT_EQ(bits_of(backend->export_values(layer.cache(), 1, {{6}}, 64)), bits_of(old_values));

  // So does one that was taken out and put into another cache of the same spec.
  std::vector<std::byte> bytes(spec.bytes_per_page());
  backend->export_page(layer.cache(), 6, bytes);
  spec.pages = 2;
  auto other = backend->create_kv_cache(spec);
  ASSERT_TRUE(other.ok());
  backend->import_page(**other, 1, bytes);
  EXPECT_EQ(bits_of(backend->export_keys(**other, 0, {{1}}, 64)), bits_of(old0));
  EXPECT_EQ(bits_of(backend->export_keys(**other, 1, {{1}}, 64)), bits_of(old1));
  EXPECT_EQ(bits_of(backend->export_values(**other, 1, {{1}}, 64)), bits_of(old_values));
  EXPECT_NE(bits_of(backend->export_keys(**other, 0, {{0}}, 64)), bits_of(old0));
}

void check_slots(const BackendFactory& make_backend) {
  const auto backend = make_backend();
  const RecurrentSpec spec = gdn_spec(2, 6, 32, 48, HeadOrder::kGrouped, 3, 4);
  GdnLayers layers(*backend, spec, 5);
  const size_t size = spec.state_bytes() / sizeof(float);
  const RecurrentImage zero(size, 0.0f);
  for (int slot = 0; slot < 3; ++slot) EXPECT_EQ(bits_of(layers.image(slot)), bits_of(zero));

  const RecurrentImage image = random_values(9, static_cast<int64_t>(size));
  layers.import(1, image);
  EXPECT_EQ(bits_of(layers.image(1)), bits_of(image));
  EXPECT_EQ(bits_of(layers.image(0)), bits_of(zero));
  EXPECT_EQ(bits_of(layers.image(2)), bits_of(zero));

  // Convolution columns in the image: after a prompt they are its last raw rows, whatever came
  // before; so two histories that end alike agree in them and differ in S.
  const auto tail = [&](const std::vector<int32_t>& tokens) {
    layers.reset(0);
    const Piece piece{Role::kPrompt, 0, tokens, 0, 0};
    layers.step({&piece, 1});
    return layers.image(0);
  };
  const RecurrentImage a = tail({1, 2, 3, 4, 5}), b = tail({9, 8, 3, 4, 5});
  const auto state = static_cast<size_t>(spec.value_heads * spec.key_dim * spec.value_dim);
  const size_t layer = size / static_cast<size_t>(spec.layers);
  for (size_t l = 0; l < static_cast<size_t>(spec.layers); ++l) {
    const auto part = [&](const RecurrentImage& of, size_t from, size_t to) {
      return bits_of(std::span(of).subspan(l * layer + from, to - from));
    };
    EXPECT_EQ(part(a, state, layer), part(b, state, layer));
    EXPECT_NE(part(a, 0, state), part(b, 0, state));
  }

  // A copied state is the same state, also in a home without pending rows, and goes on alike.
  RecurrentSpec saved_spec = spec;
  saved_spec.pending_rows = 0;
  saved_spec.slots = 2;
  auto saved = backend->create_recurrent_state(saved_spec);
  ASSERT_TRUE(saved.ok());
  const RecurrentImage history = tail({3, 1, 4, 1, 5, 9, 2, 6});
  backend->copy_slot(layers.state(), 0, **saved, 1);
  const Piece onward{Role::kPrompt, 8, {5, 3, 5}, 0, 0};
  const auto expected_rows = layers.step({&onward, 1});
  const RecurrentImage expected = layers.image(0);
  EXPECT_EQ(bits_of(backend->export_slot(**saved, 1)), bits_of(history));
  EXPECT_EQ(bits_of(backend->export_slot(**saved, 0)), bits_of(zero));
  backend->copy_slot(**saved, 1, layers.state(), 2);
  const Piece elsewhere{Role::kPrompt, 8, {5, 3, 5}, 2, 0};
  const auto rows = layers.step({&elsewhere, 1});
  ASSERT_EQ(rows.size(), expected_rows.size());
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(bits_of(rows[i]), bits_of(expected_rows[i]));
  EXPECT_EQ(bits_of(layers.image(2)), bits_of(expected));

  // Layer by layer it is the same image.
  RecurrentImage by_layers(size);
  for (int64_t l = 0; l < spec.layers; ++l) {
    const auto part = std::span(by_layers).subspan(static_cast<size_t>(l) * layer, layer);
    backend->export_layer(layers.state(), 2, l, part);
  }
  EXPECT_EQ(bits_of(by_layers), bits_of(expected));
  for (int64_t l = spec.layers; l-- > 0;) {
    const auto part = std::span(by_layers).subspan(static_cast<size_t>(l) * layer, layer);
    backend->import_layer(**saved, 0, l, part);
  }
  EXPECT_EQ(bits_of(backend->export_slot(**saved, 0)), bits_of(expected));

  // reset, import and flush all leave nothing pending.
  const Piece piece{Role::kAnswer, 0, {1, 2, 3}, 2, 0};
  layers.step({&piece, 1});
  layers.reset(2);
  layers.flush(2, 0);
  EXPECT_EQ(bits_of(layers.image(2)), bits_of(zero));
}

}  // namespace

void check_memory(const BackendFactory& make_backend, const SuiteOptions& options) {
  for (const KvFormat format : options.kv_formats) {
    SCOPED_TRACE("kv format " + std::to_string(static_cast<int>(format)));
    check_cache(make_backend, format);
  }
  check_slots(make_backend);
}

}  // namespace sluice::ops::testing
