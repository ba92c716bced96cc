// A build with compensated rounding: what is written decodes to what the rounding chose, and the
// report says what it gained.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include "codec/number_formats.h"
#include "support/paths.h"
#include "tools/convert/row_stream.h"
#include "tools/quantize/build.h"
#include "tools/quantize/compensated_rounding.h"

namespace sluice {
namespace {

using quantize::CompensationFactor;

// Made-up inputs whose neighbouring columns move together.
std::shared_ptr<const CompensationFactor> made_up_factor(int64_t columns, ThreadPool& pool) {
  static std::map<int64_t, std::shared_ptr<const CompensationFactor>> known;
  auto& factor = known[columns];
  if (factor != nullptr) return factor;
  std::mt19937 random(static_cast<unsigned>(columns));
  std::normal_distribution<float> draw;
  std::vector<float> x(static_cast<size_t>(4 * columns * columns));
  float walk = 0;
  for (float& value : x) value = walk = 0.9f * walk + draw(random);
  quantize::InputProducts products(columns);
  products.add(x, pool);
  factor =
      std::make_shared<const CompensationFactor>(quantize::factorize(std::move(products), pool));
  return factor;
}

class MadeUpFactors : public quantize::CompensationSource {
 public:
  explicit MadeUpFactors(const convert::Source& source) : source_(source) {}
  Status expect(std::span<const std::string> modules) override {
    expected.assign(modules.begin(), modules.end());
    return {};
  }
  Result<std::shared_ptr<const CompensationFactor>> factor(const std::string& module,
                                                           ThreadPool& pool) override {
    asked.push_back(module);
    return made_up_factor(source_.find(module + ".weight")->bound->matrix.columns, pool);
  }
  std::string text() const override { return "text.txt"; }
  uint64_t tokens() const override { return 123; }
  std::string identity() const override { return own_identity; }

  std::vector<std::string> expected, asked;
  std::string own_identity = "a text";

 private:
  const convert::Source& source_;
};

class CompensatedBuild : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = convert::open_source(test::tests_folder() / "model/data/tiny");
    ASSERT_TRUE(opened.ok());
    source_ = std::move(*opened);
    factors_ = std::make_unique<MadeUpFactors>(source_);
    for (const auto& weight : source_.weights)
      ranges_.set(weight.canonical.substr(0, weight.canonical.rfind('.')), 8.0f);
  }

  Result<quantize::BuildReport> make(const char* recipe, const char* layout, const char* name,
                                     const quantize::BuildEvents& events) {
    quantize::SafetensorsRequest how;
    how.recipe = quantize::find_recipe(recipe);
    how.layout = *quantize::layout_for(*how.recipe, layout);
    how.draft = quantize::DraftHead::kSame;
    how.ranges = &ranges_;
    how.compensation = factors_.get();
    quantize::BuildRequest request;
    request.out = folder_.path() / name;
    request.overwrite = true;
    request.target = recipe;
    request.how = how;
    factors_->asked.clear();
    return quantize::make_build(source_, request, pool_, events);
  }

  void build(const char* recipe, const char* layout) {
    auto made = make(recipe, layout, "out", {});
    ASSERT_TRUE(made.ok()) << made.error().message();
    report_ = std::move(*made);
    auto opened = convert::open_source(folder_.path() / "out");
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    built_ = std::move(*opened);
  }

  static std::vector<float> values(const convert::Source& source, const std::string& module) {
    return convert::read_whole(convert::RowReader(source, *source.find(module + ".weight"),
                                                  convert::Convention::kPublished));
  }

  convert::Source source_, built_;
  std::unique_ptr<MadeUpFactors> factors_;
  quantize::ActivationRanges ranges_;
  quantize::BuildReport report_;
  test::TemporaryFolder folder_;
  ThreadPool pool_{2};
};

TEST_F(CompensatedBuild, DecodesToWhatTheRoundingChose) {
  const std::string module = "layers.1.mlp.down_proj";  // fused with no other
  const std::vector<float> weights = values(source_, module);
  const auto factor = made_up_factor(48, pool_);
  float amax = 0;
  for (const float value : weights) amax = std::max(amax, std::fabs(value));
  const quantize::Nvfp4Lattice lattice{16, quantize::power_of_two_divisor(amax, false)};
  std::vector<uint8_t> codes(weights.size() / 2), scales(weights.size() / 16);
  std::vector<quantize::RowLoss> losses(weights.size() / 48);
  quantize::round_compensated(*factor, lattice, 0, weights, {codes, scales, losses});
  for (const auto& [recipe, layout] : {std::pair{"nvfp4", "compressed-tensors"},
                                       {"nvfp4", "modelopt"},
                                       {"nvfp4_a4", "compressed-tensors"},
                                       {"mixed", "compressed-tensors"}}) {
    build(recipe, layout);
    const std::vector<float> built = values(built_, module);
    for (size_t i = 0; i < built.size(); ++i) {
      const uint8_t code = (codes[i / 2] >> (i % 2 * 4)) & 15;
      EXPECT_EQ(built[i],
                codec::kE2m1Values[code] * (codec::kE4m3Values[scales[i / 16]] / lattice.divisor))
          << recipe << " " << layout << " " << i;
    }
  }
}

TEST_F(CompensatedBuild, ReportsWhatTheBuildLosesOfTheOutput) {
  for (const auto& [recipe, layout] : {std::pair{"fp8_channel", "compressed-tensors"},
                                       {"fp8_channel", "modelopt"},
                                       {"fp8_block", "official"},
                                       {"nvfp4", "modelopt"}}) {
    build(recipe, layout);
    ASSERT_TRUE(report_.calibration.has_value());
    EXPECT_EQ(report_.calibration->text, "text.txt");
    EXPECT_EQ(report_.calibration->tokens, 123u);
    size_t quantized = 0;
    for (const auto& weight : built_.weights) {
      if (weight.bound->vector || weight.bound->matrix.format == Format::kBF16) continue;
      const std::string module = weight.canonical.substr(0, weight.canonical.rfind('.'));
      const auto before = values(source_, module), after = values(built_, module);
      // Norms through the factor, damping taken off again.
      const int64_t columns = weight.bound->matrix.columns;
      const auto factor = made_up_factor(columns, pool_);
      const auto& block = factor->blocks.front();
      double lost = 0, output = 0;
      for (size_t row = 0; row < before.size(); row += static_cast<size_t>(columns)) {
        for (int64_t j = 0; j < columns; ++j) {
          double lost_sum = 0, output_sum = 0;
          for (int64_t k = 0; k <= j; ++k) {
            const size_t at = row + static_cast<size_t>(block.order[static_cast<size_t>(k)]);
            const double by = double{block.upper[static_cast<size_t>(k * columns + j)]};
            lost_sum += by * (double{before[at]} - double{after[at]});
            output_sum += by * double{before[at]};
          }
          lost += lost_sum * lost_sum;
          output += output_sum * output_sum;
        }
      }
      for (size_t i = 0; i < before.size(); ++i) {
        const double difference = double{before[i]} - double{after[i]};
        lost -= block.damping * difference * difference;
        output -= block.damping * double{before[i]} * double{before[i]};
      }
      const auto line =
          std::find_if(report_.tensors.begin(), report_.tensors.end(), [&](const auto& tensor) {
            return tensor.name.find(module + ".weight") != std::string::npos;
          });
      ASSERT_NE(line, report_.tensors.end()) << module;
      ASSERT_TRUE(line->output_error.has_value()) << module;
      EXPECT_NEAR(line->output_error->written, std::sqrt(lost / output),
                  1e-3 * std::sqrt(lost / output))
          << recipe << " " << module;
      EXPECT_LT(line->output_error->written, 0.9 * line->output_error->plain) << recipe << module;
      ++quantized;
    }
    EXPECT_GT(quantized, 20u);
    EXPECT_EQ(factors_->expected.size(), quantized);
    EXPECT_EQ(factors_->asked, factors_->expected);
    const Json json = quantize::report_json(report_);
    EXPECT_EQ(json.find("calibration")->find("method")->string(), "gptq");
    EXPECT_NE(quantize::model_card(report_, [](const std::string& name) { return name; })
                  .find("## Rounding"),
              std::string::npos);
    EXPECT_NE(quantize::report_text(report_).find("output error"), std::string::npos);
  }
}

std::map<std::string, std::string> contents(const std::filesystem::path& folder) {
  std::map<std::string, std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(entry.path(), std::ios::binary);
    out[entry.path().filename()] = {std::istreambuf_iterator<char>(file), {}};
  }
  return out;
}

// Bytes and report, output errors among it, are those of a build that was never stopped, and no
// factor is made for a matrix that is there.
TEST_F(CompensatedBuild, GoesOnAtTheFirstMatrixThatIsMissing) {
  for (const auto& [recipe, layout] : {std::pair{"nvfp4", "modelopt"}, {"fp8_block", "official"}}) {
    size_t total = 0;
    quantize::BuildEvents events;
    events.progress = [&](size_t, size_t of, const std::string&) {
      total = of;
      return true;
    };
    ASSERT_TRUE(make(recipe, layout, "whole", events).ok());
    const auto all = factors_->expected;
    ASSERT_EQ(factors_->asked, all);
    const auto expected = contents(folder_.path() / "whole");
    // The first tensors are plain, so early stops keep no matrix. Of stops that follow each other
    // one lies between codes and scales.
    size_t kept = 0;
    for (const size_t stop : {total - 40, total - 12, total - 11}) {
      events.progress = [&](size_t done, size_t, const std::string&) { return done != stop; };
      ASSERT_FALSE(make(recipe, layout, "stopped", events).ok());
      const size_t before = factors_->asked.size();
      ASSERT_TRUE(make(recipe, layout, "stopped", {}).ok());
      EXPECT_EQ(factors_->asked, factors_->expected);
      // One is asked for again if its scales were missing.
      EXPECT_LE(before + factors_->asked.size(), all.size() + 1) << recipe << " " << stop;
      EXPECT_TRUE(std::equal(factors_->asked.rbegin(), factors_->asked.rend(), all.rbegin()));
      EXPECT_TRUE(contents(folder_.path() / "stopped") == expected) << recipe << " " << stop;
      std::filesystem::remove_all(folder_.path() / "stopped");
      kept = std::max(kept, before);
    }
    EXPECT_GT(kept, all.size() / 2) << "the stops have to lie behind matrices that were kept";
  }
}

// Whoever accepts after all what a gate has refused gets the build that was made, without another
// factor.
TEST_F(CompensatedBuild, ARefusedOneIsKeptForWhoAcceptsIt) {
  ASSERT_TRUE(make("fp8_block", "official", "whole", {}).ok());
  quantize::BuildEvents events;
  std::string said;
  events.notice = [&](const std::string& line) { said += line; };
  events.judge = [](const auto&, auto&) -> Status {
    return Error{ErrorCode::kRefused, "the build", "is bad", {}};
  };
  const auto refused = make("fp8_block", "official", "out", events);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kRefused);
  EXPECT_NE(said.find("that accepts it goes on from there"), std::string::npos) << said;
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "out"));
  ASSERT_TRUE(make("fp8_block", "official", "out", {}).ok());
  EXPECT_TRUE(factors_->asked.empty());
  EXPECT_TRUE(contents(folder_.path() / "out") == contents(folder_.path() / "whole"));
}

TEST_F(CompensatedBuild, StartsOverWithAnotherText) {
  quantize::BuildEvents events;
  std::string said;
  events.progress = [](size_t done, size_t, const std::string&) { return done != 60; };
  events.notice = [&](const std::string& line) { said += line; };
  ASSERT_FALSE(make("nvfp4", "modelopt", "out", events).ok());
  factors_->own_identity = "another text";
  events.progress = {};
  ASSERT_TRUE(make("nvfp4", "modelopt", "out", events).ok());
  EXPECT_NE(said.find("asked for in other words"), std::string::npos) << said;
}

}  // namespace
}  // namespace sluice
