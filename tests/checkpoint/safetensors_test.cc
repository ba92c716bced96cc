// The safetensors header and index against forged bytes: each rule of
// spec/formats-safetensors.md 1.4 by name.
#include "checkpoint/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/forge.h"

namespace sluice::checkpoint {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kFile = "model.safetensors";

Result<SafetensorsFile> parse(const std::string& bytes) {
  return parse_safetensors(as_bytes(bytes), kFile);
}
Result<SafetensorsFile> parse_header(const std::string& header, const std::string& data = {}) {
  const std::string bytes = safetensors(header, data);
  return parse_safetensors(as_bytes(bytes), kFile);
}
Result<WeightMap> parse_index(const std::string& text) {
  return parse_safetensors_index(text, "x.index.json");
}

// One tensor entry of a header.
std::string entry(std::string_view name, std::string_view dtype, std::string_view shape,
                  uint64_t begin, uint64_t end) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", name, dtype,
                     shape, begin, end);
}
std::string header_of(std::initializer_list<std::string> entries) {
  return fmt::format("{{{}}}", fmt::join(entries, ","));
}

TEST(Safetensors, WorkedExample) {
  const std::string bytes = from_hex(R"(
    78 00 00 00 00 00 00 00 7b 22 73 22 3a 7b 22 64 74 79 70 65 22 3a 22 42 46 31 36 22 2c 22 73 68
    61 70 65 22 3a 5b 31 2c 31 5d 2c 22 64 61 74 61 5f 6f 66 66 73 65 74 73 22 3a 5b 30 2c 32 5d 7d
    2c 22 77 22 3a 7b 22 64 74 79 70 65 22 3a 22 46 38 5f 45 34 4d 33 22 2c 22 73 68 61 70 65 22 3a
    5b 32 2c 33 5d 2c 22 64 61 74 61 5f 6f 66 66 73 65 74 73 22 3a 5b 32 2c 38 5d 7d 7d 20 20 20 20
    80 3c 38 b0 28 7e 01 80)");
  ASSERT_EQ(bytes.size(), 136u);
  const Result<SafetensorsFile> file = parse(bytes);
  ASSERT_TRUE(file.ok()) << file.error().message();
  ASSERT_EQ(file->tensors.size(), 2u);
  EXPECT_EQ(file->tensors[0].name, "s");
  EXPECT_EQ(file->tensors[0].dtype, DType::kBF16);
  EXPECT_THAT(file->tensors[0].shape, ElementsAre(1, 1));
  EXPECT_EQ(file->tensors[0].bytes.data(), as_bytes(bytes).data() + 128);
  EXPECT_EQ(file->tensors[1].name, "w");
  EXPECT_EQ(file->tensors[1].dtype, DType::kF8E4M3);
  EXPECT_THAT(file->tensors[1].shape, ElementsAre(2, 3));
  EXPECT_EQ(file->tensors[1].bytes.size(), 6u);
  EXPECT_EQ(file->tensors[1].bytes[5], std::byte{0x80});
  EXPECT_EQ(file->tensors[1].elements(), 6);
}

TEST(Safetensors, LegalOddities) {
  // Rank 0, an empty tensor at a shared offset, escapes in a name, no tensors at all, metadata,
  // spaces.
  const auto odd = parse_header(
      header_of({entry("b", "F32", "[]", 0, 4), entry("empty", "BF16", "[0,7]", 4, 4),
                 entry("\\u0061", "U8", "[3]", 4, 7), R"("__metadata__":{"format":"pt"})"}) +
          "   ",
      "1234567");
  ASSERT_TRUE(odd.ok()) << odd.error().message();
  ASSERT_EQ(odd->tensors.size(), 3u);
  EXPECT_EQ(odd->tensors[0].elements(), 1);
  EXPECT_EQ(odd->tensors[1].name, "empty");
  EXPECT_EQ(odd->tensors[2].name, "a");
  EXPECT_THAT(odd->metadata, ElementsAre(std::pair<std::string, std::string>("format", "pt")));
  EXPECT_TRUE(parse_header("{}").ok());
}

TEST(Safetensors, TensorsComeInTheOrderOfTheirBytes) {
  const auto file = parse_header(
      header_of({entry("late", "U8", "[2]", 1, 3), entry("early", "U8", "[1]", 0, 1)}), "abc");
  ASSERT_TRUE(file.ok()) << file.error().message();
  EXPECT_EQ(file->tensors[0].name, "early");
  EXPECT_EQ(file->tensors[1].name, "late");
}

TEST(Safetensors, EveryDtypeNameIsKnownWithItsSize) {
  const std::pair<const char*, int> kBits[] = {
      {"F64", 64},    {"F32", 32},    {"F16", 16},        {"BF16", 16},       {"F8_E4M3", 8},
      {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"F6_E2M3", 6},
      {"F6_E3M2", 6}, {"F4", 4},      {"I8", 8},          {"U8", 8},          {"I16", 16},
      {"U16", 16},    {"I32", 32},    {"U32", 32},        {"I64", 64},        {"U64", 64},
      {"BOOL", 8},    {"C64", 64}};
  for (const auto& [name, bits] : kBits) {
    const uint64_t bytes = 8 * static_cast<uint64_t>(bits) / 8;
    const auto file =
        parse_header(header_of({entry("x", name, "[2,4]", 0, bytes)}), std::string(bytes, 'x'));
    EXPECT_TRUE(file.ok()) << file.error().message();
  }
}

TEST(Safetensors, ST_1_ShorterThanItsLength) {
  for (size_t size = 0; size < 8; ++size)
    EXPECT_REFUSED(parse(std::string(size, '\0')), "ST-1", kFile);
}

TEST(Safetensors, ST_2_HeaderLongerThanFileOrLimit) {
  EXPECT_REFUSED(parse(raw(uint64_t{3}) + "{}"), "ST-2", kFile);
  EXPECT_REFUSED(parse(raw(UINT64_MAX) + "{}"), "ST-2", kFile);
  EXPECT_REFUSED(parse(raw(UINT64_MAX - 7) + "{}"), "ST-2", kFile);  // + 8 wraps to 0
  const std::string huge = raw(uint64_t{100'000'001}) + std::string(100'000'002, ' ');
  EXPECT_REFUSED(parse(huge), "ST-2", kFile);
}

TEST(Safetensors, ST_2_OtherFilesAreNamed) {
  const auto gguf = parse("GGUF" + std::string(32, '\0'));
  EXPECT_THAT(gguf.error().message(), HasSubstr("GGUF"));
  const auto pointer = parse("version https://git-lfs.github.com/spec/v1\noid sha256:0");
  EXPECT_THAT(pointer.error().message(), HasSubstr("git lfs pull"));
}

TEST(Safetensors, ST_3_NotAnObjectOrNotUtf8) {
  EXPECT_REFUSED(parse(raw(uint64_t{0})), "ST-3", kFile);
  EXPECT_REFUSED(parse(raw(uint64_t{1}) + "{"), "ST-3", kFile);
  EXPECT_REFUSED(parse_header("[]"), "ST-3", kFile);
  EXPECT_REFUSED(parse_header(" {}"), "ST-3", kFile);
  EXPECT_REFUSED(parse_header(header_of({entry("\xff", "U8", "[0]", 0, 0)})), "ST-3", kFile);
}

TEST(Safetensors, ST_4_NotJsonOrSomethingAfterIt) {
  EXPECT_REFUSED(parse_header("{,}"), "ST-4", kFile);
  EXPECT_REFUSED(parse_header("{\"a\":"), "ST-4", kFile);
  EXPECT_REFUSED(parse_header("{}x"), "ST-4", kFile);
  EXPECT_REFUSED(parse_header("{}{}"), "ST-4", kFile);
  EXPECT_REFUSED(parse_header(std::string("{}\0", 3)), "ST-4", kFile);
  EXPECT_REFUSED(parse_header("{}\n"), "ST-4", kFile);
  EXPECT_REFUSED(parse_header(header_of({entry("\\ud800", "U8", "[0]", 0, 0)})), "ST-4", kFile);
}

TEST(Safetensors, ST_5_DuplicateKey) {
  EXPECT_REFUSED(
      parse_header(header_of({entry("a", "U8", "[1]", 0, 1), entry("a", "U8", "[1]", 1, 2)}), "xy"),
      "ST-5", "\"a\"");
  // The escape is the same name.
  EXPECT_REFUSED(
      parse_header(header_of({entry("a", "U8", "[1]", 0, 1), entry("\\u0061", "U8", "[1]", 1, 2)}),
                   "xy"),
      "ST-5", "\"a\"");
  EXPECT_REFUSED(
      parse_header(R"({"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}})"), "ST-5",
      "\"a\"");
  EXPECT_REFUSED(
      parse_header(R"({"a":{"dtype":"U8","shape":[0],"shape":[0],"data_offsets":[0,0]}})"), "ST-5",
      "\"a\"");
  EXPECT_REFUSED(
      parse_header(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"data_offsets":[0,0]}})"),
      "ST-5", "\"a\"");
  EXPECT_REFUSED(parse_header(R"({"__metadata__":{"a":"b","a":"b"}})"), "ST-5", kFile);
  EXPECT_REFUSED(parse_header(R"({"__metadata__":{},"__metadata__":{}})"), "ST-5", kFile);
}

TEST(Safetensors, ST_6_FieldsOfAnEntry) {
  for (const char* wrong : {
           R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"more":1}})",
           R"({"a":{"shape":[0],"data_offsets":[0,0]}})",
           R"({"a":{"dtype":"U8","data_offsets":[0,0]}})",
           R"({"a":{"dtype":"U8","shape":[0]}})",
           R"({"a":{}})",
           R"({"a":1})",
           R"({"a":null})",
           R"({"a":"x"})",
           R"({"a":[]})",
           R"({"a":true})",
           R"({"a":{"dtype":7,"shape":[0],"data_offsets":[0,0]}})",
           R"({"a":{"dtype":["U8"],"shape":[0],"data_offsets":[0,0]}})",
           R"({"a":{"dtype":{},"shape":[0],"data_offsets":[0,0]}})",
           R"({"a":{"dtype":null,"shape":[0],"data_offsets":[0,0]}})",
           R"({"a":{"dtype":"U8","shape":0,"data_offsets":[0,0]}})",
           R"({"a":{"dtype":"U8","shape":"0","data_offsets":[0,0]}})",
           R"({"a":{"dtype":"U8","shape":["0"],"data_offsets":[0,0]}})",
           R"({"a":{"dtype":"U8","shape":[[0]],"data_offsets":[0,0]}})",
           R"({"a":{"dtype":"U8","shape":[null],"data_offsets":[0,0]}})",
           R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,0]}})",
           R"({"a":{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}})",
           R"({"a":{"dtype":"U8","shape":[0.0],"data_offsets":[0,0]}})",
           R"({"a":{"dtype":"U8","shape":[1e0],"data_offsets":[0,1]}})",
           R"({"a":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,0]}})",
           R"({"a":{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,0]}})",
           R"({"a":{"dtype":"U8","shape":[99999999999999999999999999],"data_offsets":[0,0]}})",
           R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0]}})",
           R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[]}})",
           R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0,0]}})",
           R"({"a":{"dtype":"U8","shape":[0],"data_offsets":"0"}})",
       }) {
    SCOPED_TRACE(wrong);
    EXPECT_REFUSED(parse_header(wrong, "x"), "ST-6", "\"a\"");
  }
}

TEST(Safetensors, ST_7_UnknownDtype) {
  for (const char* dtype : {"", "bf16", "F8_E4M3FN", "Q4_K", "INT8"}) {
    EXPECT_REFUSED(parse_header(header_of({entry("a", dtype, "[0]", 0, 0)})), "ST-7", "\"a\"");
  }
}

TEST(Safetensors, ST_8_SizeOverflowsOrIsNoWholeNumberOfBytes) {
  const char* kBig = "[9007199254740992,9007199254740992]";
  EXPECT_REFUSED(parse_header(header_of({entry("a", "U8", kBig, 0, 0)})), "ST-8", "\"a\"");
  EXPECT_REFUSED(parse_header(header_of({entry("a", "F32", "[4611686018427387904]", 0, 0)})),
                 "ST-6", "\"a\"");
  EXPECT_REFUSED(parse_header(header_of({entry("a", "F32", "[4503599627370496,1024]", 0, 0)})),
                 "ST-8", "\"a\"");
  // 2^61 bytes: the product in bits is 2^64.
  EXPECT_REFUSED(parse_header(header_of({entry("a", "U8", "[4503599627370496,512]", 0, 0)})),
                 "ST-8", "\"a\"");
  EXPECT_REFUSED(parse_header(header_of({entry("a", "F4", "[3]", 0, 2)}), "xy"), "ST-8", "\"a\"");
  EXPECT_REFUSED(parse_header(header_of({entry("a", "F6_E2M3", "[2]", 0, 2)}), "xy"), "ST-8",
                 "\"a\"");
}

TEST(Safetensors, ST_9_OffsetsAgainstShape) {
  EXPECT_REFUSED(parse_header(header_of({entry("a", "U8", "[2]", 2, 0)}), "xy"), "ST-9", "\"a\"");
  EXPECT_REFUSED(parse_header(header_of({entry("a", "U8", "[2]", 0, 1)}), "xy"), "ST-9", "\"a\"");
  EXPECT_REFUSED(parse_header(header_of({entry("a", "BF16", "[2]", 0, 2)}), "xy"), "ST-9", "\"a\"");
  EXPECT_REFUSED(parse_header(header_of({entry("a", "U8", "[]", 0, 0)})), "ST-9", "\"a\"");
}

TEST(Safetensors, ST_10_OverlapAliasHole) {
  const auto overlap = parse_header(
      header_of({entry("a", "U8", "[2]", 0, 2), entry("b", "U8", "[2]", 1, 3)}), "xyz");
  EXPECT_REFUSED(overlap, "ST-10", "\"b\"");
  EXPECT_REFUSED(
      parse_header(header_of({entry("a", "U8", "[2]", 0, 2), entry("b", "U8", "[2]", 0, 2)}), "xy"),
      "ST-10", "\"b\"");
  EXPECT_REFUSED(
      parse_header(header_of({entry("a", "U8", "[1]", 0, 1), entry("b", "U8", "[1]", 2, 3)}),
                   "xyz"),
      "ST-10", "\"b\"");
  EXPECT_REFUSED(parse_header(header_of({entry("a", "U8", "[1]", 1, 2)}), "xy"), "ST-10", "\"a\"");
  // An empty tensor in the middle of another one is outside the chain.
  EXPECT_REFUSED(
      parse_header(header_of({entry("a", "U8", "[2]", 0, 2), entry("b", "U8", "[0]", 1, 1)}), "xy"),
      "ST-10", "\"b\"");
}

TEST(Safetensors, ST_11_EndOfDataAgainstFileSize) {
  EXPECT_REFUSED(parse_header(header_of({entry("a", "U8", "[2]", 0, 2)}), "x"), "ST-11", kFile);
  EXPECT_REFUSED(parse_header(header_of({entry("a", "U8", "[2]", 0, 2)}), "xyz"), "ST-11", kFile);
  EXPECT_REFUSED(parse_header("{}", "x"), "ST-11", kFile);
}

TEST(Safetensors, ST_12_MetadataIsAnObjectOfStrings) {
  for (const char* wrong :
       {R"({"__metadata__":null})", R"({"__metadata__":"pt"})", R"({"__metadata__":[]})",
        R"({"__metadata__":{"a":1}})", R"({"__metadata__":{"a":null}})",
        R"({"__metadata__":{"a":{}}})", R"({"__metadata__":{"a":["b"]}})"}) {
    SCOPED_TRACE(wrong);
    EXPECT_REFUSED(parse_header(wrong), "ST-12", kFile);
  }
}

TEST(Safetensors, ST_13_OwnLimits) {
  EXPECT_REFUSED(parse_header(header_of({entry("a", "U8", "[0,1,1,1,1,1,1,1,1]", 0, 0)})), "ST-13",
                 "\"a\"");
  EXPECT_TRUE(parse_header(header_of({entry("a", "U8", "[0,1,1,1,1,1,1,1]", 0, 0)})).ok());
  EXPECT_REFUSED(parse_header(header_of({entry(std::string(513, 'n'), "U8", "[0]", 0, 0)})),
                 "ST-13", "nnn");
  EXPECT_TRUE(parse_header(header_of({entry(std::string(512, 'n'), "U8", "[0]", 0, 0)})).ok());
  for (const char* name : {"a\\u0000b", "a\\nb", "a\\u001bb", "a\x7f"}) {
    EXPECT_REFUSED(parse_header(header_of({entry(name, "U8", "[0]", 0, 0)})), "ST-13", kFile);
  }
  std::string many = "{";
  for (int i = 0; i <= 200'000; ++i) {
    many += (i == 0 ? "" : ",") + entry(std::to_string(i), "U8", "[0]", 0, 0);
  }
  EXPECT_REFUSED(parse_header(many + "}"), "ST-13", kFile);
}

TEST(Safetensors, NamesInErrorsArePrintable) {
  const auto refused = parse_header(header_of({entry("a\\u001b[2J", "U8", "[0]", 0, 0)}));
  EXPECT_EQ(refused.error().message().find('\x1b'), std::string::npos);
}

// The header is read as a stream: ten million numbers are refused at the ninth, a million names at
// the limit.
TEST(Safetensors, HugeHeadersAreRefusedWithoutBeingStored) {
  std::string shape = R"({"a":{"dtype":"U8","shape":[1)";
  for (int i = 0; i < 10'000'000; ++i) shape += ",1";
  EXPECT_REFUSED(parse_header(shape + "]}}"), "ST-13", "\"a\"");
}

TEST(SafetensorsIndex, ReadsTheMapAndPassesOverTheRest) {
  const auto map = parse_index(
      R"({"metadata":{"total_size":1.5e9,"x":[1,{"weight_map":{"no":"no"}}]},"weight_map":{"b":"2.safetensors","a":"1.safetensors"},"z":null})"
      "\n");
  ASSERT_TRUE(map.ok()) << map.error().message();
  EXPECT_THAT(*map, ElementsAre(std::pair<std::string, std::string>("b", "2.safetensors"),
                                std::pair<std::string, std::string>("a", "1.safetensors")));
}

TEST(SafetensorsIndex, ST_14_NamesThatLeaveTheFolder) {
  for (const char* name : {"/etc/passwd", "../x.safetensors", "a/b.safetensors",
                           "a\\\\b.safetensors", "..", ".", "", "a\\u0000b", "x..safetensors"}) {
    SCOPED_TRACE(name);
    EXPECT_REFUSED(parse_index(fmt::format(R"({{"weight_map":{{"w":"{}"}}}})", name)), "ST-14",
                   "\"w\"");
  }
}

TEST(SafetensorsIndex, ST_14_WrongTypes) {
  for (const char* wrong :
       {R"({"weight_map":{"w":1}})", R"({"weight_map":{"w":null}})",
        R"({"weight_map":{"w":["a"]}})", R"({"weight_map":{"w":{"a":"b"}}})",
        R"({"weight_map":[]})", R"({"weight_map":"a"})", R"({"weight_map":null})",
        R"({"weight_map":1})", R"({})", R"([])", R"("a")", "", R"({"weight_map":{}} x)",
        R"({"weight_map":{"w":"a")", "{\"weight_map\":{\"w\":\"\xff\"}}",
        R"({"weight_map":{"w":"a","w":"a"}})", R"({"weight_map":{},"weight_map":{}})"}) {
    SCOPED_TRACE(wrong);
    EXPECT_REFUSED(parse_index(wrong), "ST-14", "x.index.json");
  }
}

TEST(SafetensorsIndex, ST_13_Limits) {
  EXPECT_REFUSED(
      parse_index(fmt::format(R"({{"weight_map":{{"{}":"a"}}}})", std::string(513, 'n'))), "ST-13",
      "nnn");
  EXPECT_REFUSED(parse_index(R"({"metadata":[[[[[[[[[[[]]]]]]]]]]],"weight_map":{}})"), "ST-13",
                 "x.index.json");
}

TEST(SafetensorsIndex, ST_15_LargerThan64MiB) {
  EXPECT_REFUSED(parse_index(std::string((64u << 20) + 1, ' ')), "ST-15", "x.index.json");
}

}  // namespace
}  // namespace sluice::checkpoint
