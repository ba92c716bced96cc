#include "tools/bench/timed_backend.h"

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

TEST(TimedBackend, RecordsOnlyWhenAsked) {
  test::LoadedSprout sprout("ref");
  TimedBackend& backend = *sprout.backend;
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

TEST(TimedBackend, ProductsHaveTheirFormats) {
  test::LoadedSprout sprout("cpu");
  TimedBackend& backend = *sprout.backend;
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

}  // namespace
}  // namespace sluice::tools
