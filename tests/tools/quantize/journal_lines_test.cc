// Forged journals: lines whose hashes fit and whose contents do not.
#include "tools/quantize/journal_lines.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice {
namespace {

using quantize::parse_journal;
using quantize::sealed_line;

constexpr const char* kHead = R"({"version":1,"program":"p","source":"s","request":"r"})";
constexpr const char* kGood =
    R"({"tensor":"w","hash":"00000000000000ff","squared_error":0.5,"squared_norm":2})";

std::string sealed(const std::vector<std::string>& lines) {
  std::string text;
  uint64_t chain = 0;
  for (const std::string& line : lines) text += sealed_line(line, chain);
  return text;
}

TEST(JournalLines, AreReadAsTheyWereWritten) {
  const std::string text = sealed({kHead, kGood});
  const auto journal = parse_journal(text);
  ASSERT_TRUE(journal.ok());
  EXPECT_EQ(journal->identity, (quantize::BuildIdentity{"p", "s", "r"}));
  ASSERT_EQ(journal->entries.size(), 1u);
  EXPECT_EQ(journal->entries[0].tensor, "w");
  EXPECT_EQ(journal->entries[0].hash, 0xFFu);
  EXPECT_EQ(journal->entries[0].error.relative(), 0.5);
  EXPECT_EQ(journal->entries[0].end, text.size());
  uint64_t chain = journal->head.chain;
  EXPECT_EQ(quantize::journal_line(journal->entries[0], chain),
            text.substr(static_cast<size_t>(journal->head.end)));
  EXPECT_EQ(chain, journal->entries[0].chain);
}

TEST(JournalLines, EndWhereOneIsForged) {
  const std::vector<std::string> forged = {
      "",
      "{}",
      "[]",
      "7",
      "null",
      R"({"hash":"00000000000000ff","squared_error":0,"squared_norm":0})",
      R"({"tensor":"","hash":"00000000000000ff","squared_error":0,"squared_norm":0})",
      R"({"tensor":7,"hash":"00000000000000ff","squared_error":0,"squared_norm":0})",
      R"({"tensor":"w","squared_error":0,"squared_norm":0})",
      R"({"tensor":"w","hash":255,"squared_error":0,"squared_norm":0})",
      R"({"tensor":"w","hash":"ff","squared_error":0,"squared_norm":0})",
      R"({"tensor":"w","hash":"00000000000000fg","squared_error":0,"squared_norm":0})",
      R"({"tensor":"w","hash":"-0000000000000ff","squared_error":0,"squared_norm":0})",
      R"({"tensor":"w","hash":"000000000000000ff","squared_error":0,"squared_norm":0})",
      R"({"tensor":"w","hash":"00000000000000ff","squared_norm":0})",
      R"({"tensor":"w","hash":"00000000000000ff","squared_error":0})",
      R"({"tensor":"w","hash":"00000000000000ff","squared_error":"0","squared_norm":0})",
      R"({"tensor":"w","hash":"00000000000000ff","squared_error":-1,"squared_norm":0})",
      R"({"tensor":"w","hash":"00000000000000ff","squared_error":1e999,"squared_norm":0})",
      R"({"tensor":"w","hash":"00000000000000ff","squared_error":NaN,"squared_norm":0})",
      R"({"tensor":"w","hash":"00000000000000ff","squared_error":0,"squared_norm":null})",
      R"({"tensor":"w","tensor":"v","hash":"00000000000000ff","squared_error":0,"squared_norm":0})",
      R"({"tensor":"w","hash":"00000000000000ff","squared_error":0,"squared_norm":0,"output_error":1})",
      R"({"tensor":"w","hash":"00000000000000ff","squared_error":0,"squared_norm":0,"output_error":{"plain":1}})",
      R"({"tensor":"w","hash":"00000000000000ff","squared_error":0,"squared_norm":0,"output_error":{"plain":1,"written":-1}})",
      R"({"tensor":"w","hash":"00000000000000ff","squared_error":0,"squared_norm":0,"x":[[[[[]]]]]})",
      std::string(kGood) + "x",
      std::string(1000, '['),
      "\xFF\xFE",
  };
  for (const std::string& line : forged) {
    const auto journal = parse_journal(sealed({kHead, kGood, line, kGood}));
    ASSERT_TRUE(journal.ok()) << line;
    EXPECT_EQ(journal->entries.size(), 1u) << line;
    EXPECT_NE(journal->damage.find("damaged"), std::string::npos) << line;
  }
}

TEST(JournalLines, AreNothingWithoutTheirHead) {
  for (const std::string& head :
       {std::string("{}"), std::string(kGood), std::string(R"({"version":2,"program":"p"})"),
        std::string(R"({"version":"1"})"), std::string(R"({"version":1.5})"), std::string("[]")})
    EXPECT_FALSE(parse_journal(sealed({head, kGood})).ok()) << head;
  // A head that says nothing is another build's.
  const auto empty = parse_journal(sealed({R"({"version":1,"program":7})"}));
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(empty->identity, quantize::BuildIdentity{});
}

}  // namespace
}  // namespace sluice
