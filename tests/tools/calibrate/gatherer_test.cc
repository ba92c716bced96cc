// Sums and ranges of the small model against an independent float64 transcription
// (tests/reference/model_calibration.py), and what they become in files.
#include "tools/calibrate/gatherer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "backend/registry.h"
#include "support/paths.h"
#include "tools/calibrate/results.h"
#include "tools/calibrate/window_reader.h"

namespace sluice {
namespace {

using calibrate::Statistics;

// A value of a float32 run against float64, by the peak of its tensor: what the parity tests of
// this model allow (tests/model/tiny_test.cc), twice for the gated norm of the linear attention
// (../shared/goldens/README.md).
constexpr double kTolerance = 1e-5;

template <typename T>
std::vector<T> values_of(const checkpoint::Checkpoint& file, const std::string& name) {
  const checkpoint::StoredTensor* stored = file.find(name);
  EXPECT_NE(stored, nullptr) << name;
  if (stored == nullptr) return {};
  std::vector<T> out(stored->bytes.size() / sizeof(T));
  std::memcpy(out.data(), stored->bytes.data(), stored->bytes.size());
  return out;
}

class Tiny : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = checkpoint::Checkpoint::open(
        test::tests_folder() / "tools/calibrate/data/calibration.safetensors",
        checkpoint::Purpose::kAnyFile);
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    golden_ = *std::move(opened);
    auto file = checkpoint::Checkpoint::open(test::tests_folder() / "model/data/tiny");
    ASSERT_TRUE(file.ok());
    file_ = *std::move(file);
    auto bound = model::bind(*file_);
    ASSERT_TRUE(bound.ok());
    binding_ = *std::move(bound);
    ids_ = values_of<int32_t>(*golden_, "ids");
    window_ = static_cast<size_t>(values_of<int32_t>(*golden_, "window").front());
  }

  void load(const char* name, int threads, bool draft = true) {
    backend_ = std::move(backend::create({name, threads, std::nullopt}).value());
    model::LoadOptions options;
    options.with_mtp = draft;
    model_ = std::move(model::TextModel::load(*file_, *binding_, *backend_, options).value());
  }

  // Reads the text in windows, as the reference did.
  Statistics gather(int threads) const {
    Statistics statistics = calibrate::empty_statistics(*binding_, model_->mtp() != nullptr);
    auto reader = calibrate::WindowReader::create(*model_, 64, ops::KvFormat::kF32);
    EXPECT_TRUE(reader.ok());
    ThreadPool pool(threads);
    calibrate::Gatherer gatherer(*backend_, pool, statistics);
    for (size_t begin = 0; begin < ids_.size(); begin += window_) {
      const size_t length = std::min(window_, ids_.size() - begin);
      (*reader)->read(std::span(ids_).subspan(begin, length), gatherer);
    }
    EXPECT_TRUE(gatherer.status().ok());
    return statistics;
  }

  std::optional<checkpoint::Checkpoint> golden_, file_;
  std::optional<model::Binding> binding_;
  std::unique_ptr<ops::Backend> backend_;
  std::unique_ptr<model::TextModel> model_;
  std::vector<int32_t> ids_;
  size_t window_ = 0;
};

class TinyOn : public Tiny, public testing::WithParamInterface<const char*> {};

TEST_P(TinyOn, EveryInputIsTheReferences) {
  load(GetParam(), 2);
  const Statistics statistics = gather(2);
  const auto layers = calibrate::linear_layers(*binding_, true);
  EXPECT_EQ(layers.size(), 40u);
  for (const auto& layer : layers) {
    const auto& input = statistics.at(layer.input);
    const auto squares = values_of<double>(*golden_, layer.module + "/squares");
    const auto rows_amax = values_of<double>(*golden_, layer.module + "/rows_amax");
    ASSERT_EQ(input.squares.size(), squares.size()) << layer.module;
    const double rows = rows_amax[0], amax = rows_amax[1];
    EXPECT_EQ(static_cast<double>(input.rows), rows) << layer.module;
    const double off = kTolerance * amax;  // of one value
    EXPECT_NEAR(input.amax, amax, off) << layer.module;
    for (size_t i = 0; i < squares.size(); ++i) {
      // |sum (x + e)^2 - sum x^2| <= 2 e sum |x| + n e^2, and sum |x| <= sqrt(n sum x^2).
      const double bound = 2 * off * std::sqrt(rows * squares[i]) + rows * off * off;
      EXPECT_NEAR(input.squares[i], squares[i], bound) << layer.module << " column " << i;
    }
  }
  const auto cached = calibrate::cached_layers(binding_->config, true);
  EXPECT_EQ(cached.size(), 2u);
  for (const auto& layer : cached) {
    const auto amax = values_of<double>(*golden_, layer.attention + "/key_value");
    EXPECT_NEAR(statistics.at(layer.key).amax, amax[0], kTolerance * amax[0]) << layer.attention;
    EXPECT_NEAR(statistics.at(layer.value).amax, amax[1], kTolerance * amax[1]) << layer.attention;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, TinyOn, testing::Values("ref", "cpu"));

TEST_F(Tiny, ThreadsChangeNoBit) {
  load("cpu", 2);
  EXPECT_EQ(gather(1), gather(3));
}

TEST_F(Tiny, TheDraftHeadIsGatheredOnlyWhereItIsLoaded) {
  load("cpu", 1, false);
  const Statistics statistics = gather(1);
  EXPECT_FALSE(statistics.contains("mtp.fc_in"));
  const auto record = calibrate::importance(*binding_, false, true, statistics);
  for (const auto& entry : record.entries) EXPECT_FALSE(entry.tensor.starts_with("blk.4."));
}

// Value heads stand grouped here (three for each of two key heads) and tiled in GGUF files: tiled
// head t is the grouped head 3 (t mod 2) + t / 2.
TEST_F(Tiny, ImportanceIsInTheOrderOfGgufFiles) {
  Statistics statistics = calibrate::empty_statistics(*binding_, true);
  auto& input = statistics.at("layers.0.gdn.core_normed");
  const size_t width = input.squares.size() / 6;
  for (size_t i = 0; i < input.squares.size(); ++i)
    input.squares[i] = static_cast<double>(100 * (i / width) + i % width);
  const auto record = calibrate::importance(*binding_, true, false, statistics);
  const auto found = std::find_if(record.entries.begin(), record.entries.end(),
                                  [](const auto& e) { return e.tensor == "blk.0.ssm_out.weight"; });
  ASSERT_NE(found, record.entries.end());
  for (size_t t = 0; t < 6; ++t) {
    for (size_t i = 0; i < width; ++i)
      EXPECT_EQ(found->squares[t * width + i],
                static_cast<double>(100 * (3 * (t % 2) + t / 2) + i));
  }
}

TEST_F(Tiny, NamesAreThoseOfGgufFiles) {
  const Statistics statistics = calibrate::empty_statistics(*binding_, true);
  const auto names = [&](bool head) {
    std::vector<std::string> out;
    for (const auto& entry : calibrate::importance(*binding_, true, head, statistics).entries)
      out.push_back(entry.tensor);
    return out;
  };
  const auto has = [](const std::vector<std::string>& list, const char* name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  EXPECT_EQ(names(false).size(), 39u);
  EXPECT_FALSE(has(names(false), "output.weight"));
  EXPECT_TRUE(has(names(true), "output.weight"));
  for (const char* name :
       {"blk.0.attn_qkv.weight", "blk.0.attn_gate.weight", "blk.0.ssm_alpha.weight",
        "blk.0.ssm_beta.weight", "blk.3.attn_q.weight", "blk.3.attn_output.weight",
        "blk.1.ffn_down.weight", "blk.4.attn_k.weight", "blk.4.nextn.eh_proj.weight"}) {
    EXPECT_TRUE(has(names(false), name)) << name;
  }
}

TEST_F(Tiny, WhatWasAlwaysZeroHasNoRange) {
  Statistics statistics = calibrate::empty_statistics(*binding_, true);
  statistics.at("layers.1.mlp_product").amax = 2.5f;
  statistics.at("layers.3.attn.k_roped").amax = 9.0f;
  auto ranges = calibrate::ranges(*binding_, true, statistics);
  EXPECT_EQ(ranges.find("layers.1.mlp.down_proj"), 2.5f);
  EXPECT_EQ(ranges.find("layers.0.mlp.down_proj"), std::nullopt);
  EXPECT_EQ(ranges.find_key_value("layers.3.self_attn"), std::nullopt);  // its values are missing
  statistics.at("layers.3.attn.v_proj").amax = 4.0f;
  ranges = calibrate::ranges(*binding_, true, statistics);
  EXPECT_EQ(ranges.find_key_value("layers.3.self_attn")->key, 9.0f);
}

TEST_F(Tiny, AValueThatIsNotFiniteEndsTheRun) {
  load("ref", 1);
  for (const float wrong :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const char* name : {"layers.3.post_norm", "layers.3.attn.k_roped"}) {
      Statistics statistics = calibrate::empty_statistics(*binding_, true);
      ThreadPool pool(1);
      calibrate::Gatherer gatherer(*backend_, pool, statistics);
      const int64_t width = name == std::string("layers.3.post_norm") ? 48 : 32;
      const std::vector<float> values = {1.0f, wrong, 2.0f};
      std::vector<float> row(static_cast<size_t>(width), 0.5f);
      std::copy(values.begin(), values.end(), row.begin());
      auto buffer = backend_->allocate(row.size() * sizeof(float));
      ASSERT_TRUE(buffer.ok());
      const ops::View view{buffer->get(), 0, 1, width, width};
      backend_->upload(view, row);
      gatherer.record(name, view);
      ASSERT_FALSE(gatherer.status().ok()) << name;
      EXPECT_EQ(gatherer.status().error().what, name);
    }
  }
}

}  // namespace
}  // namespace sluice
