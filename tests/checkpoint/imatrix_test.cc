// Importance matrices: the worked example, both forms of one run, forged files.
#include "checkpoint/imatrix.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "checkpoint/forge.h"
#include "support/paths.h"

namespace sluice::checkpoint {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Result<ImportanceMatrix> parse(const std::string& bytes) {
  return ImportanceMatrix::parse(as_bytes(bytes), "x.imatrix");
}

std::string integer(int32_t value) { return raw(value); }

// One entry of the legacy form.
std::string entry(const std::string& name, int32_t calls, std::initializer_list<float> values) {
  std::string bytes = integer(static_cast<int32_t>(name.size())) + name + integer(calls) +
                      integer(static_cast<int32_t>(values.size()));
  for (const float value : values) bytes += raw(value);
  return bytes;
}

GgufForge gguf_form() {
  GgufForge forge;
  forge.text("general.type", "imatrix")
      .u32("imatrix.chunk_count", 3)
      .u32("imatrix.chunk_size", 512);
  return forge.key("imatrix.datasets", 9,
                   raw(uint32_t{8}) + raw(uint64_t{1}) + GgufForge::string("a.txt"));
}
std::string padded(std::string bytes) {
  bytes.resize((bytes.size() + 31) / 32 * 32);
  return bytes;
}

// spec/formats-gguf.md 7.1.
TEST(Imatrix, WorkedExample) {
  const auto matrix = parse(from_hex(R"(
    01 00 00 00 13 00 00 00 62 6c 6b 2e 30 2e 66 66 6e 5f 75 70 2e 77 65 69 67 68 74 02 00 00 00 02
    00 00 00 00 00 40 40 00 00 00 41 02 00 00 00 05 00 00 00 61 2e 74 78 74)"));
  ASSERT_TRUE(matrix.ok()) << matrix.error().message();
  ASSERT_EQ(matrix->entries().size(), 1u);
  EXPECT_THAT(matrix->find("blk.0.ffn_up.weight")->values, ElementsAre(1.5f, 4.0f));
  EXPECT_EQ(matrix->chunks(), 2u);
  EXPECT_THAT(matrix->datasets(), ElementsAre("a.txt"));
  EXPECT_EQ(matrix->find("blk.1.ffn_up.weight"), nullptr);
}

TEST(Imatrix, OldestFormHasNoTrailerAndZeroCallsMeanNoDivision) {
  const auto matrix = parse(integer(2) + entry("a", 0, {2.0f}) + entry("b", 4, {2.0f}));
  ASSERT_TRUE(matrix.ok()) << matrix.error().message();
  EXPECT_EQ(matrix->find("a")->values[0], 2.0f);
  EXPECT_EQ(matrix->find("b")->values[0], 0.5f);
}

TEST(Imatrix, ForgedLegacyFiles) {
  const std::string whole =
      integer(1) + entry("abc", 1, {1.0f, 2.0f}) + integer(1) + integer(1) + "x";
  ASSERT_TRUE(parse(whole).ok());
  for (size_t size = 0; size < whole.size(); ++size) {
    if (size == whole.size() - 9) continue;  // the trailer gone: the oldest form
    EXPECT_FALSE(parse(whole.substr(0, size)).ok()) << size;
  }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::string& wrong :
       {integer(0), integer(-1), integer(100'001), integer(1) + integer(0),
        integer(1) + integer(-5), integer(1) + integer(64) + std::string(64, 'n'),
        integer(1) + integer(1) + "a" + integer(-1) + integer(1),
        integer(1) + integer(1) + "a" + integer(1) + integer(0),
        integer(1) + integer(1) + "a" + integer(1) + integer(-1),
        integer(1) + integer(1) + "a" + integer(1) + integer((1 << 24) + 1),
        integer(1) + entry("a", 1, {nan}), integer(1) + entry("a", 1, {-1.0f}),
        integer(1) + entry("a", 1, {std::numeric_limits<float>::infinity()}),
        integer(2) + entry("a", 1, {1.0f}) + entry("a", 1, {1.0f}), whole + "x",
        integer(1) + entry("a", 1, {1.0f}) + integer(1) + integer(-1)}) {
    const auto refused = parse(wrong);
    ASSERT_FALSE(refused.ok());
    EXPECT_THAT(refused.error().message(), HasSubstr("x.imatrix"));
  }
}

TEST(Imatrix, GgufForm) {
  GgufForge forge = gguf_form();
  forge.tensor("a.in_sum2", {2, 2}, 0, 0).tensor("a.counts", {1, 2}, 0, 32);
  forge.data(padded(raw(2.0f) + raw(4.0f) + raw(6.0f) + raw(8.0f)) + raw(2.0f) + raw(0.0f));
  const auto matrix = parse(forge.bytes());
  ASSERT_TRUE(matrix.ok()) << matrix.error().message();
  EXPECT_THAT(matrix->find("a")->values, ElementsAre(1.0f, 2.0f, 1.0f, 1.0f));
  EXPECT_EQ(matrix->chunks(), 3u);
}

TEST(Imatrix, ForgedGgufForms) {
  const std::string four = padded(raw(1.0f)), data = four + four;
  EXPECT_FALSE(parse(GgufForge().bytes()).ok());                                  // no type
  EXPECT_FALSE(parse(GgufForge().text("general.type", "imatrix").bytes()).ok());  // no keys
  EXPECT_FALSE(parse(gguf_form().bytes()).ok());                                  // nothing in it
  EXPECT_FALSE(
      parse(gguf_form().tensor("a.in_sum2", {1}, 0, 0).data(four).bytes()).ok());  // no counts
  EXPECT_FALSE(
      parse(gguf_form().tensor("a.counts", {1}, 0, 0).data(four).bytes()).ok());  // no sums
  EXPECT_FALSE(parse(gguf_form()
                         .tensor("a.in_sum2", {1}, 0, 0)
                         .tensor("a.counts", {2}, 0, 32)
                         .data(data)
                         .bytes())
                   .ok());
  EXPECT_FALSE(parse(gguf_form()
                         .tensor("a.in_sum2", {1}, 0, 0)
                         .tensor("a.counts", {1}, 26, 32)
                         .data(data)
                         .bytes())
                   .ok());
  EXPECT_FALSE(parse(gguf_form()
                         .tensor("a.in_sum2", {1}, 0, 0)
                         .tensor("a.counts", {1}, 0, 32)
                         .data(four + raw(-1.0f))
                         .bytes())
                   .ok());
}

// The same run in both forms: equal values, entry by entry (7.2).
TEST(Imatrix, BothFormsOfOneRunAgree) {
  for (const char* name : {"r2", "r3"}) {
    SLUICE_REQUIRE_SHARED(folder, "goldens/gguf");
    const auto legacy = ImportanceMatrix::open(folder / fmt::format("{}-imatrix.dat", name));
    ASSERT_TRUE(legacy.ok()) << legacy.error().message();
    const auto gguf = ImportanceMatrix::open(folder / fmt::format("{}-imatrix.gguf", name));
    ASSERT_TRUE(gguf.ok()) << gguf.error().message();
    EXPECT_EQ(legacy->chunks(), 12u);
    EXPECT_EQ(gguf->chunks(), 12u);
    EXPECT_EQ(legacy->entries().size(), gguf->entries().size());
    for (const ImportanceEntry& expected : legacy->entries()) {
      const ImportanceEntry* other = gguf->find(expected.tensor);
      ASSERT_NE(other, nullptr) << expected.tensor;
      ASSERT_EQ(other->values.size(), expected.values.size());
      for (size_t i = 0; i < expected.values.size(); ++i) {
        // The legacy form multiplied by 12 and we divided: one rounding each way.
        EXPECT_NEAR(other->values[i], expected.values[i], expected.values[i] * 2.4e-7f);
      }
    }
  }
}

}  // namespace
}  // namespace sluice::checkpoint
