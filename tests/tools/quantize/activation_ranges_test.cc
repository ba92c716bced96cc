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
}

TEST(ActivationRanges, ForgedFilesAreRefused) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "ranges.json";
  for (const char* text : {"", "{", "[]", "{}", R"({"ranges": []})", R"({"ranges": {"a": 0}})",
                           R"({"ranges": {"a": -1}})", R"({"ranges": {"a": 1e39}})",
                           R"({"ranges": {"a": "1"}})", R"({"ranges": {"a": null}})"}) {
    std::ofstream(file, std::ios::trunc) << text;
    const auto read = ActivationRanges::open(file);
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_EQ(read.error().code, ErrorCode::kBadInput) << text;
  }
}

}  // namespace
}  // namespace sluice
