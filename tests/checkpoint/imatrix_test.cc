// Importance matrices: the worked example, both forms of one run, forged files.
#include "checkpoint/imatrix.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/file.h"
#include "checkpoint/forge.h"
#include "checkpoint/gguf.h"
#include "checkpoint/imatrix_writer.h"
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

// Files since 2026 hold plain sums as well.
TEST(Imatrix, GgufFormWithSumsOfTheInputs) {
  const std::string three = padded(raw(8.0f)) + padded(raw(3.0f)) + padded(raw(4.0f));
  const auto forge = [&](int64_t width) {
    return parse(gguf_form()
                     .tensor("a.in_sum2", {1}, 0, 0)
                     .tensor("a.in_sum", {width}, 0, 32)
                     .tensor("a.counts", {1}, 0, 64)
                     .data(three)
                     .bytes());
  };
  const auto matrix = forge(1);
  ASSERT_TRUE(matrix.ok()) << matrix.error().message();
  EXPECT_THAT(matrix->find("a")->values, ElementsAre(2.0f));
  EXPECT_FALSE(forge(2).ok());
}

ImportanceRecord record() {
  ImportanceRecord out;
  out.entries = {{"blk.0.b.weight", {2.0, 0.1, 1e-9}, 6},
                 {"blk.0.a.weight", {4.5}, 5},
                 {"blk.0.c.weight", {0.0}, 0}};
  out.dataset = "a.txt";
  out.chunks = 2;
  out.chunk_size = 3;
  return out;
}

TEST(ImatrixWriter, BothFormsAreReadBack) {
  const test::TemporaryFolder folder;
  for (const auto form : {ImportanceForm::kGguf, ImportanceForm::kLegacy}) {
    const auto file = folder.path() / (form == ImportanceForm::kGguf ? "a.gguf" : "a.dat");
    ASSERT_TRUE(write_importance(file, form, record(), false).ok());
    EXPECT_EQ(write_importance(file, form, record(), false).error().code, ErrorCode::kUsage);
    const auto read = ImportanceMatrix::open(file);
    ASSERT_TRUE(read.ok()) << read.error().message();
    ASSERT_EQ(read->entries().size(), 2u);  // the one without rows is left out
    EXPECT_EQ(read->entries()[0].tensor, "blk.0.a.weight");
    EXPECT_FLOAT_EQ(read->entries()[0].values[0], 0.9f);
    const auto& values = read->entries()[1].values;
    EXPECT_FLOAT_EQ(values[0], 2.0f / 6);
    EXPECT_FLOAT_EQ(values[1], 0.1f / 6);
    EXPECT_FLOAT_EQ(values[2], 1e-9f / 6);
    EXPECT_EQ(read->chunks(), 2u);
    EXPECT_THAT(read->datasets(), ElementsAre("a.txt"));
  }
}

// Counts and shapes as llama.cpp's reader wants them; its legacy value is mean times chunks.
TEST(ImatrixWriter, StoredFormIsLlamaCpps) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "a.gguf";
  ASSERT_TRUE(write_importance(file, ImportanceForm::kGguf, record(), false).ok());
  const auto mapping = MappedFile::open(file);
  ASSERT_TRUE(mapping.ok());
  const auto gguf = parse_gguf(mapping->bytes(), "a.gguf");
  ASSERT_TRUE(gguf.ok());
  EXPECT_EQ(*gguf->metadata.unsigned_integer("imatrix.chunk_size"), 3u);
  for (size_t i = 0; i < gguf->metadata.entries().size(); ++i) {
    if (!gguf->metadata.entries()[i].first.starts_with("imatrix.chunk")) continue;
    EXPECT_EQ(gguf->metadata.stored_type(i), GgufType::kU32);
  }
  ASSERT_EQ(gguf->tensors.size(), 4u);
  EXPECT_EQ(gguf->tensors[2].name, "blk.0.b.weight.in_sum2");
  EXPECT_THAT(gguf->tensors[2].shape, ElementsAre(3));
  EXPECT_EQ(gguf->tensors[3].name, "blk.0.b.weight.counts");
  EXPECT_THAT(gguf->tensors[3].shape, ElementsAre(1));

  const auto legacy = folder.path() / "a.dat";
  ASSERT_TRUE(write_importance(legacy, ImportanceForm::kLegacy, record(), false).ok());
  EXPECT_EQ(get_file(legacy),
            integer(2) + entry("blk.0.a.weight", 2, {4.5f / 5 * 2}) +
                entry("blk.0.b.weight", 2, {2.0f / 6 * 2, 0.1f / 6 * 2, 1e-9f / 6 * 2}) +
                integer(2) + integer(5) + "a.txt");
}

TEST(ImatrixWriter, RefusesWhatItCannotHold) {
  const test::TemporaryFolder folder;
  ImportanceRecord wrong = record();
  wrong.entries = {{std::string(64, 'n'), {1.0}, 1}};
  EXPECT_FALSE(
      write_importance(folder.path() / "a.dat", ImportanceForm::kLegacy, wrong, false).ok());
  wrong.entries.clear();
  EXPECT_FALSE(
      write_importance(folder.path() / "a.gguf", ImportanceForm::kGguf, wrong, false).ok());
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
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
