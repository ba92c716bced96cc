#include "tools/bench/bench_backend.h"

#include <gtest/gtest.h>

#include <array>

#include "tools/bench/loaded_sprout.h"

namespace sluice::tools {
namespace {

struct Ones {
  explicit Ones(ops::Backend& backend, int64_t columns)
      : buffer(std::move(backend.allocate(static_cast<size_t>(columns) * sizeof(float))).value()),
        view{buffer.get(), 0, 1, columns, columns} {
    backend.upload(view, std::vector<float>(static_cast<size_t>(columns), 1.0f));
  }
  std::unique_ptr<ops::DeviceBuffer> buffer;
  ops::View view;
};

TEST(BenchBackend, RecordsOnlyWhenAsked) {
  test::LoadedSprout sprout("ref");
  BenchBackend& backend = *sprout.backend;
  Ones x(backend, 256), weight(backend, 256), out(backend, 256);
  const auto normalize = [&] {
    backend.rms_norm({.x = x.view, .delta = {}, .weight = weight.view, .eps = 0, .out = out.view});
  };
  normalize();
  EXPECT_EQ(backend.download(out.view), std::vector<float>(256, 1.0f));
  backend.start();
  EXPECT_TRUE(backend.stop().empty());
  backend.start();
  normalize();
  std::array<int32_t, 1> token = {-1};
  backend.argmax({.logits = out.view, .tokens = token});
  EXPECT_EQ(token[0], 0);
  const OperationTimes times = backend.stop();
  ASSERT_EQ(times.size(), 2u);
  EXPECT_GT(times.at("norms"), 0);
  EXPECT_GT(times.at("sampling"), 0);
  normalize();
  backend.start();
  EXPECT_TRUE(backend.stop().empty());
}

TEST(BenchBackend, ProductsHaveTheirFormats) {
  test::LoadedSprout sprout("cpu");
  BenchBackend& backend = *sprout.backend;
  const auto load = [&](const char* role) {
    return std::move(
               backend.load_matrix(sprout.binding->find(role)->matrix, ops::MatrixUse::kProduct))
        .value();
  };
  const auto gate = load("layers.0.mlp.gate"), head = load("embedding");
  Ones x(backend, 256), out(backend, 768), logits(backend, 4096);
  const auto multiply = [&](const ops::Matrix& matrix, const ops::View& to) {
    const ops::Product product{&matrix, to};
    backend.matmul({.x = x.view, .products = {&product, 1}, .answer_rows = 1});
  };
  backend.start();
  multiply(*gate, out.view);
  multiply(*head, logits.view);
  const OperationTimes times = backend.stop();
  ASSERT_EQ(times.size(), 2u);
  EXPECT_EQ(times.count("products bf16"), 1u);
  EXPECT_EQ(times.count("head bf16"), 1u);
}

TEST(BenchBackend, SkimmingFillsTheCacheAndComputesNothing) {
  test::LoadedSprout sprout("cpu");
  BenchBackend& backend = *sprout.backend;
  constexpr int64_t kDim = 32;
  ops::KvSpec spec;
  spec.layers = spec.heads = spec.pages = 1;
  spec.head_dim = kDim;
  const auto cache = std::move(backend.create_kv_cache(spec)).value();
  const std::vector<int32_t> pages = {0};
  const std::vector<int32_t> tokens = {0};
  const ops::Batch batch = ops::one_sequence(tokens, 0, 0, pages, ops::Role::kPrompt);
  const ops::RotaryTable rotary{std::vector<float>(4, 0.5f), std::vector<uint8_t>(4, 0)};
  Ones query_gate(backend, 2 * kDim), key(backend, kDim), value(backend, kDim), norm(backend, kDim),
      query(backend, kDim), x(backend, 256), weight(backend, 256), out(backend, 256);
  const auto input = [&] {
    backend.attention_input({.batch = &batch,
                             .query_gate = query_gate.view,
                             .key = key.view,
                             .value = value.view,
                             .query_norm = norm.view,
                             .key_norm = norm.view,
                             .eps = 1e-6f,
                             .rotary = &rotary,
                             .cache = cache.get(),
                             .layer = 0,
                             .query = query.view,
                             .query_normed = {},
                             .key_normed = {}});
    return backend.export_values(*cache, 0, pages, 1);
  };
  EXPECT_EQ(input(), std::vector<float>(kDim, 1.0f));

  backend.skim(true);
  backend.start();
  const std::vector<float> noise = input();
  EXPECT_NE(noise, std::vector<float>(kDim, 1.0f));
  EXPECT_NE(noise, std::vector<float>(kDim, noise[0]));
  backend.rms_norm({.x = x.view, .delta = {}, .weight = x.view, .eps = 3, .out = out.view});
  const auto gate = std::move(backend.load_matrix(sprout.binding->find("layers.0.mlp.gate")->matrix,
                                                  ops::MatrixUse::kProduct))
                        .value();
  Ones product_out(backend, 768);
  const ops::Product product{gate.get(), product_out.view};
  backend.matmul({.x = x.view, .products = {&product, 1}, .answer_rows = 0});
  EXPECT_EQ(backend.download(product_out.view), std::vector<float>(768, 1.0f));
  const OperationTimes times = backend.stop();
  EXPECT_EQ(times.count("attention input"), 1u);
  EXPECT_EQ(times.count("norms"), 0u);
  EXPECT_EQ(backend.download(out.view), std::vector<float>(256, 1.0f));

  backend.skim(false);
  backend.rms_norm({.x = x.view, .delta = {}, .weight = x.view, .eps = 3, .out = out.view});
  EXPECT_EQ(backend.download(out.view), std::vector<float>(256, 0.5f));
}

}  // namespace
}  // namespace sluice::tools
