// The demo model, seen from outside: found by name, its drafts change nothing and are worth it, and
// it still knows what docs/sprout.md says it knows.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "cli/program.h"
#include "support/paths.h"

namespace sluice {
namespace {

using test::ProgramResult;
using test::run_program;

// Twelve held-out items of each of seven kinds; made by `sluice corpus --seed 1`, never trained on.
std::string items() {
  return (test::tests_folder() / "cli" / "data" / "sprout_items.jsonl").string();
}

Json eval_with(const std::vector<std::string>& flags) {
  std::vector<std::string> arguments = {"eval", "sprout", "--suite", items(), "--json"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  const ProgramResult result = run_program(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.json();
}

double number(const Json& json, std::initializer_list<const char*> path) {
  const Json* at = &json;
  for (const char* key : path) {
    at = at->find(key);
    if (at == nullptr) {
      ADD_FAILURE() << "no " << key;
      return -1;
    }
  }
  return at->as_double().value_or(-1);
}

TEST(Sprout, IsFoundByNameAndCanDraft) {
  const ProgramResult result = run_program({"inspect", "sprout", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json report = result.json();
  EXPECT_TRUE(report.find("mtp")->find("usable")->boolean());
  EXPECT_TRUE(report.find("tokenizer")->find("present")->boolean());
  EXPECT_TRUE(report.find("template")->find("present")->boolean());
  EXPECT_EQ(report.find("problems")->items().size(), 0u) << result.out;
}

TEST(Sprout, AnswersWhatItWasTaughtAndItsDraftsHold) {
  const Json scores = eval_with({});
  for (const char* kind : {"addition", "subtraction", "word_problem", "greeting", "number_choice",
                           "fact_choice", "json_record"})
    EXPECT_GE(number(scores, {"kinds", kind, "share"}), 0.75) << kind;
  EXPECT_GE(number(scores, {"all", "closed"}), 0.9 * number(scores, {"all", "thoughts"}));
  const Json::Array& drafts = scores.find("drafts")->items();
  ASSERT_EQ(drafts.size(), 3u);
  EXPECT_GE(number(drafts[0], {"share"}), 0.7);
  EXPECT_GE(number(drafts[1], {"share"}), 0.6);
  EXPECT_GE(number(drafts[2], {"share"}), 0.5);
}

// Real acceptance, unlike a random model's: every step takes some drafts and drops others.
TEST(Sprout, DraftsAndCompanyChangeNoByte) {
  const test::TemporaryFolder folder;
  std::vector<std::string> answers;
  for (const char* flags : {"--draft-depth=0", "--draft-depth=1", "--draft-depth=4"}) {
    for (const char* sequences : {"--sequences=1", "--sequences=7"}) {
      const std::string path = folder.path() / ("answers" + std::to_string(answers.size()));
      eval_with({flags, sequences, "--max-items", "2", "--answers", path});
      std::ifstream file(path);
      answers.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
      EXPECT_FALSE(answers.back().empty());
      EXPECT_EQ(answers.back(), answers.front()) << flags << " " << sequences;
    }
  }
}

TEST(Sprout, AnswersFromTheCommandLine) {
  const ProgramResult result =
      run_program({"run", "sprout", "What is 347 + 285?", "--temperature", "0", "--quiet"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("632"), std::string::npos) << result.out;
}

}  // namespace
}  // namespace sluice
