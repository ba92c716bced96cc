// The state of a calibration on disk: every bit comes back, and what is forged or of another run
// does not.
#include "tools/calibrate/progress.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "base/file.h"
#include "checkpoint/safetensors_writer.h"
#include "support/paths.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using calibrate::Progress;
using calibrate::Statistics;

const char* const kOwn = R"({"model":"a"})";

Progress some_progress() {
  Progress progress{7, {}};
  progress.statistics["layers.0.input_norm"] = {12'345'678'901, 3.4e38f, {0.1, 1e-300, 7e76}};
  progress.statistics["layers.3.attn.k_roped"] = {1, 0.1f, {}};
  return progress;
}

Statistics empty() {
  Statistics statistics;
  statistics["layers.0.input_norm"].squares.resize(3);
  statistics["layers.3.attn.k_roped"];
  return statistics;
}

Result<Progress> parse(const std::string& bytes, const std::string& identity = kOwn) {
  return calibrate::parse_progress(std::as_bytes(std::span(bytes)), "x.progress", identity,
                                   empty());
}

std::string saved_bytes() {
  const test::TemporaryFolder folder;
  EXPECT_TRUE(calibrate::save_progress(folder.path() / "p", kOwn, some_progress()).ok());
  return *read_file(folder.path() / "p", 1 << 20);
}

TEST(CalibrationProgress, EveryBitComesBack) {
  const test::TemporaryFolder folder;
  const fs::path file = folder.path() / "p";
  const auto none = calibrate::load_progress(file, kOwn, empty());
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->has_value());
  ASSERT_TRUE(calibrate::save_progress(file, kOwn, {1, empty()}).ok());
  ASSERT_TRUE(calibrate::save_progress(file, kOwn, some_progress()).ok());  // replaces
  const auto loaded = calibrate::load_progress(file, kOwn, empty());
  ASSERT_TRUE(loaded.ok()) << loaded.error().message();
  EXPECT_EQ((*loaded)->windows, 7u);
  EXPECT_EQ((*loaded)->statistics, some_progress().statistics);
}

TEST(CalibrationProgress, AnotherRunsIsRefusedByName) {
  const auto other = parse(saved_bytes(), R"({"model":"b"})");
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().code, ErrorCode::kUsage);
  EXPECT_EQ(other.error().what, "x.progress");
}

TEST(CalibrationProgress, CutFilesAreRefused) {
  const std::string whole = saved_bytes();
  ASSERT_TRUE(parse(whole).ok());
  for (size_t size = 0; size < whole.size(); size += 5)
    EXPECT_FALSE(parse(whole.substr(0, size)).ok()) << size;
}

TEST(CalibrationProgress, ForgedFilesAreRefused) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  struct Forgery {
    const char* name;
    DType dtype;
    std::vector<double> values;
    const char* windows;
  };
  const auto forge = [](const Forgery& one) {
    const test::TemporaryFolder folder;
    checkpoint::SafetensorsOptions options;
    options.metadata = {{"calibration", kOwn}, {"windows", one.windows}};
    const auto count = static_cast<int64_t>(one.values.size());
    auto writer = checkpoint::SafetensorsWriter::create_file(
        folder.path() / "p",
        {{one.name, one.dtype, {count}}, {"layers.3.attn.k_roped", DType::kF64, {2}}}, options);
    EXPECT_TRUE(writer.ok());
    const std::vector<double> other = {1, 1};
    for (const auto& spec : std::vector(writer->plan())) {
      const auto& values = spec.name == one.name ? one.values : other;
      EXPECT_TRUE(writer->append(spec.name, std::as_bytes(std::span(values))).ok());
    }
    EXPECT_TRUE(writer->finish().ok());
    return *read_file(folder.path() / "p", 1 << 20);
  };
  const char* const own = "layers.0.input_norm";
  ASSERT_TRUE(parse(forge({own, DType::kF64, {5, 1, 2, 3, 4}, "3"})).ok());
  for (const Forgery& wrong :
       std::vector<Forgery>{{own, DType::kF64, {5, 1, 2, 3, 4}, ""},
                            {own, DType::kF64, {5, 1, 2, 3, 4}, "-1"},
                            {own, DType::kF64, {5, 1, 2, 3, 4}, "3 "},
                            {own, DType::kF64, {5, 1, 2, 3, 4}, "99999999999999999999"},
                            {own, DType::kF64, {5, 1, 2, 3}, "3"},
                            {own, DType::kF64, {5, 1, 2, 3, nan}, "3"},
                            {own, DType::kF64, {5, 1, 2, 3, -1}, "3"},
                            {own, DType::kF64, {5, 1e39, 2, 3, 4}, "3"},
                            {own, DType::kF64, {-5, 1, 2, 3, 4}, "3"},
                            {own, DType::kF64, {1e17, 1, 2, 3, 4}, "3"},
                            {own, DType::kI64, {5, 1, 2, 3, 4}, "3"},
                            {"layers.9.input_norm", DType::kF64, {5, 1, 2, 3, 4}, "3"}}) {
    const auto refused = parse(forge(wrong));
    ASSERT_FALSE(refused.ok()) << wrong.name << " " << wrong.windows;
    EXPECT_EQ(refused.error().code, ErrorCode::kBadInput);
  }
}

TEST(CalibrationProgress, TextsAreToldApart) {
  const std::vector<int32_t> text = {1, 2, 3, 4};
  const auto cut = [&](size_t at) {
    const std::vector<std::span<const int32_t>> windows = {std::span(text).first(at),
                                                           std::span(text).subspan(at)};
    return calibrate::text_identity(windows);
  };
  EXPECT_EQ(cut(2), cut(2));
  EXPECT_NE(cut(2), cut(3));
}

}  // namespace
}  // namespace sluice
