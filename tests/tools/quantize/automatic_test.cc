// Formats chosen under a limit, with a made-up sensitivity in the model's place: the sensitive part
// gets the bits, the files have the promised size, and limits that nothing keeps are refused.
#include "tools/quantize/automatic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "support/paths.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using quantize::AutomaticLimit;
using quantize::AutomaticReport;
using quantize::BuildRequest;

// Everything that is replaced costs a little, the second layer's MLP much.
double made_up(const std::map<std::string, EncodedMatrix>& replaced) {
  double sum = 0;
  for (const auto& [role, matrix] : replaced) {
    EXPECT_EQ(matrix.format, Format::kBF16);
    EXPECT_GT(matrix.rows * matrix.columns, 0);
    sum += role.starts_with("layers.1.") && role.find("mlp") != std::string::npos ? 1.0 : 1e-4;
  }
  return sum;
}

class Automatic : public testing::TestWithParam<const char*> {
 protected:
  // GGUF has no place for the tiny model's head widths.
  Automatic()
      : gguf_(quantize::find_mixture(GetParam()) != nullptr),
        source_(*convert::open_source(gguf_ ? test::tests_folder().parent_path() / "models/sprout"
                                            : test::tests_folder() / "model/data/tiny")) {}

  BuildRequest request() const {
    BuildRequest out;
    out.target = GetParam();
    out.out = folder_.path() / (gguf_ ? "model.gguf" : "model");
    if (gguf_) {
      quantize::GgufRequest how;
      how.mixture = quantize::find_mixture(out.target);
      out.how = how;
    } else {
      quantize::SafetensorsRequest how;
      how.recipe = quantize::find_recipe(out.target);
      how.layout = *quantize::layout_for(*how.recipe, "");
      out.how = how;
    }
    return out;
  }

  Result<AutomaticReport> choose(BuildRequest& request, const AutomaticLimit& limit) {
    probes_ = 0;
    std::vector<quantize::ReplacedMatrices> planned;
    quantize::Probing probing;
    probing.plan = [&](std::span<const quantize::ReplacedMatrices> probes) {
      planned.assign(probes.begin(), probes.end());
      return Status();
    };
    probing.progress = [&](size_t done, size_t total) {
      EXPECT_EQ(planned.size(), total);
      EXPECT_EQ(done, probes_);
      return ++probes_ > 0;
    };
    // What was planned is what is measured, but for the bytes.
    probing.measure = [&](const auto& replaced) -> Result<double> {
      const auto& plan = planned.at(probes_ - 1);
      EXPECT_EQ(plan.size(), replaced.size());
      for (const auto& [role, matrix] : replaced) {
        EXPECT_EQ(plan.at(role).rows, matrix.rows) << role;
        EXPECT_EQ(plan.at(role).columns, matrix.columns) << role;
        EXPECT_EQ(plan.at(role).format, matrix.format) << role;
        EXPECT_TRUE(plan.at(role).codes.empty()) << role;
      }
      return made_up(replaced);
    };
    return quantize::choose_formats(source_, request, limit, probing, pool_);
  }

  // Bytes of the weights' files that the request really leads to.
  uint64_t built_bytes(const BuildRequest& request) {
    const auto report = quantize::make_build(source_, request, pool_, {});
    EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().message());
    EXPECT_TRUE(report.ok() && report->automatic.has_value());
    uint64_t sum = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
      const auto extension = entry.path().extension();
      if (extension == ".gguf" || extension == ".safetensors") sum += entry.file_size();
    }
    return sum;
  }

  const bool gguf_;
  const convert::Source source_;
  test::TemporaryFolder folder_;
  ThreadPool pool_{2};
  size_t probes_ = 0;
};

double bits_of(const quantize::ChosenPart& part) {
  return 8.0 * static_cast<double>(part.bytes) / static_cast<double>(part.parameters);
}

TEST_P(Automatic, GivesTheBitsToTheSensitiveParts) {
  // The range of sizes: everything small, everything large.
  BuildRequest smallest = request(), largest = request();
  const auto least = choose(smallest, {.bytes = {}, .divergence = 1e6});
  ASSERT_TRUE(least.ok()) << least.error().message();
  const auto most = choose(largest, {.bytes = uint64_t{1} << 40, .divergence = {}});
  ASSERT_TRUE(most.ok());
  EXPECT_LT(least->file_bytes, most->file_bytes);
  EXPECT_EQ(probes_, most->probes);

  BuildRequest chosen = request();
  const uint64_t budget = (2 * least->file_bytes + most->file_bytes) / 3;
  auto report = choose(chosen, {.bytes = budget, .divergence = {}});
  ASSERT_TRUE(report.ok());
  EXPECT_LE(report->file_bytes, budget);
  double sensitive = 0, others = 0, loss = 0;
  for (const auto& part : report->parts) {
    (part.name.starts_with("layers.1.mlp") ? sensitive : others) =
        std::max(part.name.starts_with("layers.1.mlp") ? sensitive : 0.0, bits_of(part));
    loss += part.loss;
    EXPECT_GE(part.loss_small, part.loss) << part.name;
  }
  EXPECT_GT(sensitive, 0);
  EXPECT_GT(others, 0);
  for (const auto& part : report->parts) {
    if (part.name.starts_with("layers.1.mlp")) {
      EXPECT_GT(bits_of(part), 7.9) << part.name;
    }
  }
  EXPECT_NEAR(loss, report->divergence, 1e-9);
  EXPECT_LT(report->divergence, least->divergence / 3);
  chosen.automatic = *report;
  EXPECT_EQ(built_bytes(chosen), report->file_bytes);
}

TEST_P(Automatic, RefusesWhatNothingKeepsWithTheFigure) {
  BuildRequest wanted = request();
  const auto small = choose(wanted, {.bytes = 1000, .divergence = {}});
  ASSERT_FALSE(small.ok());
  EXPECT_EQ(small.error().code, ErrorCode::kUsage);
  EXPECT_EQ(probes_, 0u);  // known before anything is measured
  const auto least = choose(wanted, {.bytes = {}, .divergence = 1e6});
  ASSERT_TRUE(least.ok());
  EXPECT_NE(small.error().why.find(std::to_string(least->file_bytes)), std::string::npos)
      << small.error().why;
  // That many bytes are enough, one less is not.
  BuildRequest exact = request();
  EXPECT_TRUE(choose(exact, {.bytes = least->file_bytes, .divergence = {}}).ok());
  EXPECT_FALSE(choose(exact, {.bytes = least->file_bytes - 1, .divergence = {}}).ok());
}

INSTANTIATE_TEST_SUITE_P(Families, Automatic, testing::Values("q4_0", "nvfp4", "fp8_block"));

class AutomaticGguf : public Automatic {};

TEST_P(AutomaticGguf, KeepsADivergence) {
  BuildRequest loose = request(), tight = request();
  const auto one = choose(loose, {.bytes = {}, .divergence = 0.5});
  const auto other = choose(tight, {.bytes = {}, .divergence = 0.05});
  ASSERT_TRUE(one.ok() && other.ok());
  EXPECT_LE(one->divergence, 0.5);
  EXPECT_LE(other->divergence, 0.05);
  EXPECT_LT(one->file_bytes, other->file_bytes);
  // Even Q8_0 everywhere leaves something.
  const auto refused = choose(tight, {.bytes = {}, .divergence = 1e-12});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
}

INSTANTIATE_TEST_SUITE_P(Families, AutomaticGguf, testing::Values("q4_0"));

class AutomaticAlone : public Automatic {};

TEST_P(AutomaticAlone, RefusesAFamilyOfOne) {
  BuildRequest wanted = request();
  const auto refused = choose(wanted, {.bytes = uint64_t{1} << 40, .divergence = {}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
}

INSTANTIATE_TEST_SUITE_P(Families, AutomaticAlone, testing::Values("q8_0", "bf16"));

}  // namespace
}  // namespace sluice
