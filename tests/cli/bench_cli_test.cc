// sluice bench, seen from outside: the document's shape, the picture, refusals. No times.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "cli/program.h"
#include "support/paths.h"

namespace sluice {
namespace {

using test::ProgramResult;
using test::run_program;

TEST(BenchCommand, OneDocumentAndAPicture) {
  const test::TemporaryFolder folder;
  const std::string picture = (folder.path() / "bench.svg").string();
  const ProgramResult result = run_program(
      {"bench", "--threads",    "1",      "--prompt",  "64",    "--rows",   "1,2", "--drafts",
       "1",     "--draft-head", "0,1024", "--context", "64",    "--repeat", "1",   "--steps",
       "2",     "--svg",        picture,  "sprout",    "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json document = result.json();
  for (const char* key :
       {"model", "backend", "instruction_set", "activations", "kv", "threads", "load_seconds",
        "memory", "bytes_by_format", "machine", "figures", "operations", "left_out"})
    EXPECT_NE(document.find(key), nullptr) << key;
  EXPECT_GT(document.find("memory")->find("planned")->as_int64().value_or(0), 0);
  EXPECT_GT(document.find("memory")->find("peak")->as_int64().value_or(0), 0);
  for (const char* key : {"read_bytes_per_second", "update_bytes_per_second",
                          "fp32_products_per_second", "barrier_seconds"})
    EXPECT_GT(document.find("machine")->find(key)->find("median")->as_double().value_or(0), 0)
        << key;
  const Json::Array& figures = document.find("figures")->items();
  ASSERT_EQ(figures.size(), 6u) << result.out;
  EXPECT_EQ(figures[3].find("draft_head")->as_int64(), 0);
  EXPECT_EQ(figures[4].find("draft_head")->as_int64(), 1024);
  EXPECT_LT(figures[4].find("read_bytes")->as_int64(), figures[3].find("read_bytes")->as_int64());
  for (const Json& figure : figures) {
    for (const char* key :
         {"tokens_per_second", "milliseconds", "floor_tokens_per_second", "share_of_floor"})
      EXPECT_GT(figure.find(key)->find("median")->as_double().value_or(0), 0) << key;
    EXPECT_GT(figure.find("read_bytes")->as_int64().value_or(0), 0);
  }
  EXPECT_EQ(document.find("operations")->members().size(), 4u) << result.out;
  EXPECT_EQ(document.find("left_out")->items().size(), 0u) << result.out;

  std::ifstream file(picture);
  const std::string svg{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(svg.rfind("<svg ", 0), 0u);
  EXPECT_NE(svg.find("answer, 2 rows"), std::string::npos);
  EXPECT_EQ(run_program({"bench", "sprout", "--svg", picture}).exit_code, 2);
}

TEST(BenchCommand, RefusesBeforeItLoads) {
  for (const std::vector<std::string>& flags :
       std::vector<std::vector<std::string>>{{"--rows", "0"},
                                             {"--rows", "1,x"},
                                             {"--drafts", "9"},
                                             {"--time", "0"},
                                             {"--against", "'open"},
                                             {"--against-prompt", "pp"}}) {
    std::vector<std::string> arguments = {"bench", "sprout"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const ProgramResult result = run_program(arguments);
    EXPECT_EQ(result.exit_code, 2) << flags.front() << result.out << result.err;
    EXPECT_EQ(result.err.rfind("sluice: error: ", 0), 0u) << result.err;
  }
}

}  // namespace
}  // namespace sluice
