// The GGUF container against forged bytes: each rule of spec/formats-gguf.md 1.2 by name.
#include "checkpoint/gguf.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/forge.h"

namespace sluice::checkpoint {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kFile = "model.gguf";

Result<GgufFile> parse(const std::string& bytes) { return parse_gguf(as_bytes(bytes), kFile); }
Result<GgufFile> parse(const GgufForge& forge) { return parse(forge.bytes()); }

std::string array(uint32_t type, uint64_t count, const std::string& elements) {
  return raw(type) + raw(count) + elements;
}

// The 320 bytes of spec/formats-gguf.md 1.1.
std::string worked_example() {
  return from_hex(R"(
    47 47 55 46 03 00 00 00 02 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00 14 00 00 00 00 00 00 00
    67 65 6e 65 72 61 6c 2e 61 72 63 68 69 74 65 63 74 75 72 65 08 00 00 00 06 00 00 00 00 00 00 00
    71 77 65 6e 33 35 11 00 00 00 00 00 00 00 67 65 6e 65 72 61 6c 2e 61 6c 69 67 6e 6d 65 6e 74 04
    00 00 00 20 00 00 00 01 00 00 00 00 00 00 00 61 09 00 00 00 05 00 00 00 02 00 00 00 00 00 00 00
    0b 00 00 00 ff ff ff ff 01 00 00 00 00 00 00 00 77 02 00 00 00 20 00 00 00 00 00 00 00 01 00 00
    00 00 00 00 00 08 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00 62 01 00 00 00 02 00
    00 00 00 00 00 00 00 00 00 00 40 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    00 38 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d
    1e 1f 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    00 00 80 3f 00 00 00 c0 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00)");
}

TEST(Gguf, WorkedExample) {
  const std::string bytes = worked_example();
  ASSERT_EQ(bytes.size(), 320u);
  const auto file = parse(bytes);
  ASSERT_TRUE(file.ok()) << file.error().message();
  EXPECT_EQ(file->version, 3u);
  EXPECT_EQ(file->alignment, 32u);
  EXPECT_EQ(*file->metadata.string("general.architecture"), "qwen35");
  EXPECT_THAT(**file->metadata.integers("a"), ElementsAre(11, -1));
  ASSERT_EQ(file->tensors.size(), 2u);
  EXPECT_EQ(file->tensors[0].name, "w");
  EXPECT_EQ(file->tensors[0].dtype, DType::kQ8_0);
  EXPECT_THAT(file->tensors[0].shape, ElementsAre(1, 32));
  EXPECT_EQ(file->tensors[0].bytes.size(), 34u);
  EXPECT_EQ(file->tensors[0].bytes.data(), as_bytes(bytes).data() + 0xe0);
  EXPECT_THAT(file->tensors[1].shape, ElementsAre(2));
  EXPECT_EQ(file->tensors[1].bytes.size(), 8u);
  EXPECT_TRUE(file->notes.empty());
}

TEST(Gguf, EveryValueType) {
  GgufForge forge;
  forge.key("u8", 0, raw<uint8_t>(200)).key("i8", 1, raw<int8_t>(-3)).u16("u16", 65535);
  forge.key("i16", 3, raw<int16_t>(-300))
      .u32("u32", 4'000'000'000u)
      .key("i32", 5, raw<int32_t>(-70'000));
  forge.key("f32", 6, raw(0.5f)).key("bool", 7, raw<uint8_t>(1)).text("string", "ä");
  forge.key("u64", 10, raw(UINT64_MAX)).key("i64", 11, raw(INT64_MIN)).key("f64", 12, raw(1e300));
  forge.key("u8s", 9, array(0, 2, "\x01\xff"))
      .key("bools", 9, array(7, 2, std::string("\x01\x00", 2)));
  forge.key("f32s", 9, array(6, 1, raw(0.25f)))
      .key("strings", 9, array(8, 2, GgufForge::string("a") + GgufForge::string("")));
  forge.key("none", 9, array(4, 0, "")).key("u64s", 9, array(10, 1, raw(UINT64_MAX)));
  const auto file = parse(forge);
  ASSERT_TRUE(file.ok()) << file.error().message();
  const GgufMetadata& m = file->metadata;
  EXPECT_EQ(*m.unsigned_integer("u8"), 200u);
  EXPECT_EQ(*m.unsigned_integer("u16"), 65535u);
  EXPECT_EQ(*m.unsigned_integer("u32"), 4'000'000'000u);
  EXPECT_EQ(*m.unsigned_integer("u64"), UINT64_MAX);
  EXPECT_EQ(std::get<int64_t>(*m.find("i8")), -3);
  EXPECT_EQ(std::get<int64_t>(*m.find("i16")), -300);
  EXPECT_EQ(std::get<int64_t>(*m.find("i32")), -70'000);
  EXPECT_EQ(std::get<int64_t>(*m.find("i64")), INT64_MIN);
  EXPECT_EQ(*m.real("f32"), 0.5);
  EXPECT_EQ(*m.real("f64"), 1e300);
  EXPECT_EQ(*m.boolean("bool"), true);
  EXPECT_EQ(*m.string("string"), "ä");
  EXPECT_THAT(**m.integers("u8s"), ElementsAre(1, 255));
  EXPECT_THAT(**m.integers("bools"), ElementsAre(1, 0));
  EXPECT_THAT(**m.strings("strings"), ElementsAre("a", ""));
  EXPECT_TRUE((**m.strings("none")).empty());
  EXPECT_TRUE((**m.integers("none")).empty());
  EXPECT_EQ(*m.string("absent"), std::nullopt);

  EXPECT_REFUSED(m.unsigned_integer("i8"), "GG-15", kFile);
  EXPECT_REFUSED(m.unsigned_integer("f32"), "GG-15", kFile);
  EXPECT_REFUSED(m.real("u32"), "GG-15", kFile);
  EXPECT_REFUSED(m.boolean("u8"), "GG-15", kFile);
  EXPECT_REFUSED(m.string("u8"), "GG-15", kFile);
  EXPECT_REFUSED(m.strings("u8s"), "GG-15", kFile);
  EXPECT_REFUSED(m.integers("f32s"), "GG-15", kFile);
  EXPECT_REFUSED(m.integers("u64s"), "GG-15", kFile);
  EXPECT_REFUSED(m.integers("u32"), "GG-15", kFile);
}

TEST(Gguf, Version2HasTheSameLayout) {
  std::string bytes = worked_example();
  bytes[4] = 2;
  const auto file = parse(bytes);
  ASSERT_TRUE(file.ok()) << file.error().message();
  EXPECT_EQ(file->tensors.size(), 2u);
}

TEST(Gguf, GG_1_MagicAndVersion) {
  EXPECT_REFUSED(parse(std::string()), "GG-1", kFile);
  EXPECT_REFUSED(parse("GGU"), "GG-1", kFile);
  EXPECT_REFUSED(parse("GGUF"), "GG-1", kFile);
  EXPECT_REFUSED(parse("GGML" + std::string(40, '\0')), "GG-1", kFile);
  EXPECT_REFUSED(parse("version https://git-lfs.github.com/spec/v1"), "GG-1", kFile);
  for (const uint32_t version : {0u, 1u, 4u, 0xffffffffu}) {
    GgufForge forge;
    forge.version = version;
    EXPECT_REFUSED(parse(forge), "GG-1", kFile);
  }
  GgufForge foreign;
  foreign.version = 0x03000000;
  const auto refused = parse(foreign);
  EXPECT_REFUSED(refused, "GG-1", kFile);
  EXPECT_THAT(refused.error().message(), HasSubstr("big-endian"));
}

TEST(Gguf, GG_2_CountsAgainstTheFile) {
  for (const int64_t count : {int64_t{-1}, int64_t{1}, int64_t{1} << 40, INT64_MAX}) {
    GgufForge tensors;
    tensors.tensor_count = count;
    EXPECT_REFUSED(parse(tensors), "GG-2", kFile);
    GgufForge keys;
    keys.key_count = count;
    EXPECT_REFUSED(parse(keys), "GG-2", kFile);
  }
  // Enough bytes for the count before the metadata, not after it.
  GgufForge late;
  late.text("a", std::string(100, 'x'));
  late.tensor_count = 3;
  EXPECT_REFUSED(parse(late), "GG-2", kFile);
  // Within the file's size, beyond any model.
  GgufForge many;
  many.text("a", std::string(6'000'000, 'x'));
  many.tensor_count = 200'001;
  EXPECT_REFUSED(parse(many), "GG-2", kFile);
}

TEST(Gguf, GG_3_LengthsAgainstTheFile) {
  for (const uint64_t length : {uint64_t{100}, uint64_t{1} << 31, UINT64_MAX}) {
    EXPECT_REFUSED(parse(GgufForge().key("a", 8, raw(length) + "xx")), "GG-3", kFile);
    EXPECT_REFUSED(parse(GgufForge().key("a", 9, array(0, length, "xx"))), "GG-3", kFile);
    EXPECT_REFUSED(parse(GgufForge().key("a", 9, array(8, length, "xx"))), "GG-3", kFile);
    EXPECT_REFUSED(parse(GgufForge().key("a", 9, array(12, length, "xx"))), "GG-3", kFile);
  }
  // count * 8 wraps to 8.
  EXPECT_REFUSED(parse(GgufForge().key("a", 9, array(10, (uint64_t{1} << 61) + 1, "12345678"))),
                 "GG-3", kFile);
  EXPECT_REFUSED(
      parse(GgufForge().key("a", 9, array(0, (1u << 24) + 1, std::string((1u << 24) + 1, 'x')))),
      "GG-3", kFile);
  // A key whose value is cut off.
  std::string cut = GgufForge().key("abcdefgh", 10, raw(uint64_t{1})).bytes();
  cut.resize(cut.size() - 4);
  EXPECT_REFUSED(parse(cut), "GG-3", kFile);
}

TEST(Gguf, GG_4_Keys) {
  EXPECT_REFUSED(parse(GgufForge().u32("", 1)), "GG-4", kFile);
  EXPECT_REFUSED(parse(GgufForge().u32("a", 1).u32("b", 1).u32("a", 2)), "GG-4", "model.gguf");
  EXPECT_REFUSED(parse(GgufForge().u32("ä", 1)), "GG-4", kFile);
  EXPECT_REFUSED(parse(GgufForge().u32(std::string_view("a\0b", 3), 1)), "GG-4", kFile);
  EXPECT_REFUSED(parse(GgufForge().u32(std::string(65'536, 'k'), 1)), "GG-4", kFile);
  EXPECT_TRUE(parse(GgufForge().u32(std::string(65'535, 'k'), 1)).ok());
}

TEST(Gguf, GG_5_ValueTypes) {
  EXPECT_REFUSED(parse(GgufForge().key("a", 13, raw(uint64_t{0}))), "GG-5", kFile);
  EXPECT_REFUSED(parse(GgufForge().key("a", 9, array(13, 0, ""))), "GG-5", kFile);
  EXPECT_REFUSED(parse(GgufForge().key("a", 9, array(9, 1, array(0, 1, "x")))), "GG-5", kFile);
}

TEST(Gguf, GG_6_Booleans) {
  EXPECT_REFUSED(parse(GgufForge().key("a", 7, raw<uint8_t>(2))), "GG-6", kFile);
  EXPECT_REFUSED(parse(GgufForge().key("a", 9, array(7, 2, "\x01\xff"))), "GG-6", kFile);
}

TEST(Gguf, GG_7_Utf8) {
  EXPECT_REFUSED(parse(GgufForge().text("general.architecture", "qwen\xff")), "GG-7", kFile);
  EXPECT_REFUSED(
      parse(GgufForge().key("tokenizer.ggml.tokens", 9, array(8, 1, GgufForge::string("\xc3")))),
      "GG-7", kFile);
  EXPECT_REFUSED(parse(GgufForge().tensor(std::string_view("a\0b", 3), {1}, 0, 0).data("1234")),
                 "GG-7", kFile);
  EXPECT_REFUSED(parse(GgufForge().tensor("a\xff", {1}, 0, 0).data("1234")), "GG-7", kFile);
  // An author's name must not cost the model.
  const auto author = parse(GgufForge().text("general.author", "M\xfcller"));
  ASSERT_TRUE(author.ok()) << author.error().message();
  EXPECT_EQ(*author->metadata.string("general.author"), "M\xef\xbf\xbdller");
  EXPECT_EQ(author->notes.size(), 1u);
  GgufForge many;
  for (int i = 0; i < 100; ++i) many.text(std::to_string(i), "\xff");
  const auto bad = parse(many);
  ASSERT_TRUE(bad.ok()) << bad.error().message();
  EXPECT_EQ(bad->notes.size(), 4u);  // enough to say so
}

TEST(Gguf, GG_8_Alignment) {
  for (const uint32_t alignment : {0u, 1u, 4u, 24u, 131072u, 0xffffffffu}) {
    EXPECT_REFUSED(parse(GgufForge().u32("general.alignment", alignment)), "GG-8", kFile);
  }
  EXPECT_REFUSED(parse(GgufForge().key("general.alignment", 10, raw(uint64_t{32}))), "GG-8", kFile);
  EXPECT_REFUSED(parse(GgufForge().text("general.alignment", "32")), "GG-8", kFile);
  for (const uint32_t alignment : {8u, 64u, 65536u}) {
    GgufForge forge;
    forge.u32("general.alignment", alignment).tensor("a", {2}, 0, 0).tensor("b", {1}, 0, alignment);
    forge.data(std::string(alignment, 'a') + "1234");
    const std::string bytes = forge.bytes(alignment);
    const auto file = parse(bytes);
    ASSERT_TRUE(file.ok()) << file.error().message();
    EXPECT_EQ(file->alignment, alignment);
    EXPECT_EQ(file->tensors[1].bytes[0], std::byte{'1'});
  }
}

TEST(Gguf, GG_9_TensorNames) {
  EXPECT_REFUSED(parse(GgufForge().tensor("", {1}, 0, 0).data("1234")), "GG-9", kFile);
  EXPECT_REFUSED(parse(GgufForge().tensor(std::string(64, 'n'), {1}, 0, 0).data("1234")), "GG-9",
                 "nnn");
  EXPECT_TRUE(parse(GgufForge().tensor(std::string(63, 'n'), {1}, 0, 0).data("1234")).ok());
  EXPECT_REFUSED(
      parse(GgufForge().tensor("a", {1}, 0, 0).tensor("a", {1}, 0, 32).data(std::string(64, 'x'))),
      "GG-9", "\"a\"");
}

TEST(Gguf, GG_10_Dimensions) {
  EXPECT_REFUSED(parse(GgufForge().tensor("a", {}, 0, 0).data("1234")), "GG-10", "\"a\"");
  EXPECT_REFUSED(parse(GgufForge().tensor("a", {1, 1, 1, 1, 1}, 0, 0).data("1234")), "GG-10",
                 "\"a\"");
  EXPECT_REFUSED(parse(GgufForge().tensor("a", {0}, 0, 0).data("1234")), "GG-10", "\"a\"");
  EXPECT_REFUSED(parse(GgufForge().tensor("a", {1, -1}, 0, 0).data("1234")), "GG-10", "\"a\"");
  EXPECT_REFUSED(
      parse(GgufForge().tensor("a", {int64_t{1} << 32, int64_t{1} << 31}, 0, 0).data("1234")),
      "GG-10", "\"a\"");
  EXPECT_REFUSED(parse(GgufForge().tensor("a", {INT64_MAX, INT64_MAX, 4}, 0, 0).data("1234")),
                 "GG-10", "\"a\"");
}

TEST(Gguf, GG_11_Types) {
  for (const uint32_t id : {4u, 5u, 31u, 33u, 36u, 38u, 43u, 97u, 255u, 0xffffffffu}) {
    EXPECT_REFUSED(parse(GgufForge().tensor("a", {256}, id, 0).data(std::string(2048, 'x'))),
                   "GG-11", "\"a\"");
  }
  // ne[0] no multiple of the block, and a byte size above 2^63.
  EXPECT_REFUSED(parse(GgufForge().tensor("a", {31, 32}, 8, 0).data(std::string(2048, 'x'))),
                 "GG-11", "\"a\"");
  EXPECT_REFUSED(parse(GgufForge().tensor("a", {128}, 12, 0).data(std::string(2048, 'x'))), "GG-11",
                 "\"a\"");
  EXPECT_REFUSED(parse(GgufForge().tensor("a", {INT64_MAX / 4}, 28, 0).data("x")), "GG-11",
                 "\"a\"");
}

TEST(Gguf, TypesWithoutADecoderAreListedByName) {
  GgufForge forge;
  forge.tensor("a", {256}, 16, 0).tensor("b", {1}, 0, 96);
  forge.data(std::string(96, 'x') + "1234");
  const auto file = parse(forge);
  ASSERT_TRUE(file.ok()) << file.error().message();
  EXPECT_THAT(file->undecodable, ElementsAre(std::pair<std::string, std::string>("a", "IQ2_XXS")));
  ASSERT_EQ(file->tensors.size(), 1u);
  EXPECT_EQ(file->tensors[0].name, "b");
}

TEST(Gguf, GG_12_OffsetsFormAChain) {
  const std::string data(128, 'x');
  const auto with_offsets = [&](uint64_t first, uint64_t second) {
    return parse(GgufForge().tensor("a", {1}, 0, first).tensor("b", {1}, 0, second).data(data));
  };
  EXPECT_TRUE(with_offsets(0, 32).ok());
  EXPECT_REFUSED(with_offsets(0, 4), "GG-12", "\"b\"");   // not aligned
  EXPECT_REFUSED(with_offsets(0, 0), "GG-12", "\"b\"");   // alias
  EXPECT_REFUSED(with_offsets(0, 64), "GG-12", "\"b\"");  // hole
  EXPECT_REFUSED(with_offsets(32, 0), "GG-12", "\"a\"");  // permuted
  EXPECT_REFUSED(with_offsets(0, UINT64_MAX - 31), "GG-12", "\"b\"");
}

TEST(Gguf, GG_13_BeyondTheFile) {
  EXPECT_REFUSED(parse(GgufForge().tensor("a", {2}, 0, 0).data("1234567")), "GG-13", "\"a\"");
  EXPECT_REFUSED(parse(GgufForge().tensor("a", {2}, 0, 0)), "GG-13", "\"a\"");
  EXPECT_REFUSED(parse(GgufForge().tensor("a", {1}, 0, 0).tensor("b", {1}, 0, 32).data("1234")),
                 "GG-13", "\"b\"");
  EXPECT_REFUSED(parse(GgufForge().tensor("a", {INT64_MAX / 8}, 28, 0).data("x")), "GG-13",
                 "\"a\"");
  // The padding after the last tensor may be missing.
  EXPECT_TRUE(parse(GgufForge().tensor("a", {2}, 0, 0).data("12345678")).ok());
}

TEST(Gguf, GG_14_TrailingBytesAreNoted) {
  const auto file = parse(GgufForge().tensor("a", {2}, 0, 0).data(std::string(33, 'x')));
  ASSERT_TRUE(file.ok()) << file.error().message();
  ASSERT_EQ(file->notes.size(), 1u);
  EXPECT_THAT(file->notes[0], HasSubstr("GG-14"));
}

// A million keys, then a million tensor names' worth of directory: quadratic detection would take
// hours.
TEST(Gguf, GG_20_DuplicateDetectionIsLinear) {
  GgufForge twice;
  for (int i = 0; i < 1'000'000; ++i) twice.key(std::to_string(i % 999'999), 0, "x");
  EXPECT_REFUSED(parse(twice), "GG-4", kFile);
  GgufForge tensors;
  for (uint64_t i = 0; i < 200'000; ++i) tensors.tensor(std::to_string(i), {1}, 24, i * 32);
  EXPECT_REFUSED(parse(tensors.data("x")), "GG-13", kFile);
}

// Damage anywhere is refused or harmless, and never read out of bounds (the sanitizers watch).
TEST(Gguf, EveryTruncationAndBitFlipOfTheWorkedExample) {
  const std::string whole = worked_example();
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string cut = whole.substr(0, size);
    const auto file = parse(cut);
    EXPECT_EQ(file.ok(), size >= 0x128) << size;
  }
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    const auto file = parse(flipped);
    if (!file.ok()) continue;
    size_t sum = 0;
    for (const StoredTensor& tensor : file->tensors) {
      for (const std::byte byte : tensor.bytes) sum += static_cast<size_t>(byte);
    }
    EXPECT_LT(sum, 1'000'000u);
  }
}

}  // namespace
}  // namespace sluice::checkpoint
