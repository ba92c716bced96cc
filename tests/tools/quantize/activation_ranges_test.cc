// The file of activation ranges: what is read, and what is refused by name.
#include "tools/quantize/activation_ranges.h"

#include <gtest/gtest.h>

#include <fstream>

#include "support/paths.h"

namespace sluice {
namespace {

using quantize::ActivationRanges;

TEST(ActivationRanges, WhatIsWrittenIsRead) {
  const test::TemporaryFolder folder;
  ActivationRanges ranges;
  ranges.set("layers.0.mlp.up_proj", 12.25f);
  ASSERT_TRUE(ranges.write(folder.path() / "ranges.json", false).ok());
  const auto read = ActivationRanges::open(folder.path() / "ranges.json");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->find("layers.0.mlp.up_proj"), 12.25f);
  EXPECT_EQ(read->find("layers.1.mlp.up_proj"), std::nullopt);
  EXPECT_EQ(read->find_key_value("layers.3.self_attn"), std::nullopt);
  ranges.set_key_value("layers.3.self_attn", {9.5f, 0.1f});
  ASSERT_TRUE(ranges.write(folder.path() / "ranges.json", true).ok());
  const auto both = ActivationRanges::open(folder.path() / "ranges.json");
  ASSERT_TRUE(both.ok());
  EXPECT_EQ(*both, ranges);
  EXPECT_EQ(both->find_key_value("layers.3.self_attn")->value, 0.1f);
}

TEST(ActivationRanges, ForgedFilesAreRefused) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "ranges.json";
  for (const char* text :
       {"", "{", "[]", "{}", R"({"ranges": []})", R"({"ranges": {"a": 0}})",
        R"({"ranges": {"a": -1}})", R"({"ranges": {"a": 1e39}})", R"({"ranges": {"a": "1"}})",
        R"({"ranges": {"a": null}})", R"({"ranges": {"a": 1e-40}})", R"({"ranges": {"a": 1e-400}})",
        R"({"ranges": {"a": 1, "a": 2}})", R"({"ranges": {}, "keys_values": []})",
        R"({"ranges": {}, "keys_values": {"a": 1}})",
        R"({"ranges": {}, "keys_values": {"a": {"key": 1}}})",
        R"({"ranges": {}, "keys_values": {"a": {"key": 1, "value": 0}}})"}) {
    std::ofstream(file, std::ios::trunc) << text;
    const auto read = ActivationRanges::open(file);
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_EQ(read.error().code, ErrorCode::kBadInput) << text;
  }
}

}  // namespace
}  // namespace sluice
