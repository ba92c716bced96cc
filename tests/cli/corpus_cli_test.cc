// Corpus, tokenizer and suite from the command line, with the small random model.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "cli/program.h"
#include "support/paths.h"

namespace sluice {
namespace {

using test::ProgramResult;
using test::run_program;

const std::string& tiny_model() {
  static const std::string path = (test::tests_folder() / "model" / "data" / "tiny").string();
  return path;
}

std::string written(const test::TemporaryFolder& folder, const char* name,
                    const std::string& text) {
  const auto path = folder.path() / name;
  std::ofstream(path, std::ios::binary) << text;
  return path.string();
}

TEST(CorpusCli, CorpusThenTokenizerThenPrompts) {
  const test::TemporaryFolder folder;
  const std::string corpus = (folder.path() / "corpus").string();
  const std::string model = (folder.path() / "model").string();
  const ProgramResult made =
      run_program({"corpus", corpus, "--samples", "300", "--held-out", "2", "--json"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  int64_t samples = 0;
  const Json report = made.json();
  for (const auto& [kind, count] : report.find("samples")->members())
    samples += count.as_int64().value_or(0);
  EXPECT_EQ(samples, 300);
  EXPECT_EQ(run_program({"corpus", corpus, "--samples", "300"}).exit_code, 2) << "overwrote";

  const std::string chat_template =
      (test::tests_folder() / ".." / "models" / "sprout" / "chat_template.jinja").string();
  const std::vector<std::string> train = {"train-tokenizer",       model,        "--corpus",
                                          corpus + "/train.jsonl", "--template", chat_template,
                                          "--vocabulary",          "512",        "--json"};
  const ProgramResult trained = run_program(train);
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_EQ(trained.json().find("vocabulary")->as_int64(), 512);

  // What was written is a model folder to every command: text and back, and a prompt.
  const ProgramResult encoded =
      run_program({"tokenize", model, "--text", "What is 347 + 285?", "--json"});
  EXPECT_EQ(encoded.exit_code, 0) << encoded.err;
  const ProgramResult rendered =
      run_program({"template", model, "--jsonl", corpus + "/held_out.jsonl", "--ids"});
  ASSERT_EQ(rendered.exit_code, 0) << rendered.err;
  for (const Json& line : rendered.lines()) {
    ASSERT_EQ(line.find("error"), nullptr) << line.dump();
    EXPECT_GT(line.find("ids")->items().size(), 10u);
  }
}

TEST(CorpusCli, EvalCountsItems) {
  const test::TemporaryFolder folder;
  // Random weights never say this, and always say something.
  const std::string items =
      R"({"id":"a","kind":"sums","messages":[{"role":"user","content":"hi"}],"check":{"type":"text","value":"no such answer"}})"
      "\n"
      R"({"id":"b","kind":"sums","messages":[{"role":"user","content":"hi"}],"check":{"type":"number","value":123456789}})"
      "\n"
      R"({"id":"c","kind":"talk","messages":[{"role":"user","content":"ho"},{"role":"assistant","content":"x"}],"prompt":1,"check":{"type":"contains","value":"no such answer"}})"
      "\n";
  const std::string suite = written(folder, "suite.jsonl", items);
  const std::string answers = (folder.path() / "answers.jsonl").string();
  const ProgramResult result = run_program({"eval", tiny_model(), "--suite", suite, "--max-tokens",
                                            "8", "--answers", answers, "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json scores = result.json();
  EXPECT_EQ(scores.find("all")->find("items")->as_int64(), 3);
  EXPECT_EQ(scores.find("all")->find("right")->as_int64(), 0);
  EXPECT_EQ(scores.find("kinds")->find("sums")->find("items")->as_int64(), 2);
  EXPECT_EQ(scores.find("drafts")->items().size(), 3u);
  std::ifstream file(answers);
  EXPECT_EQ(std::count(std::istreambuf_iterator<char>(file), {}, '\n'), 3);

  const ProgramResult fewer = run_program(
      {"eval", tiny_model(), "--suite", suite, "--max-tokens", "8", "--max-items", "1", "--json"});
  EXPECT_EQ(fewer.json().find("all")->find("items")->as_int64(), 2);
}

TEST(CorpusCli, WhatAModelSaysIsRightWhenTheItemAsksForIt) {
  const test::TemporaryFolder folder;
  const std::string question =
      R"({"id":"a","kind":"k","messages":[{"role":"user","content":"hi"}],"check":{"type":"text","value":)";
  const std::string answers = (folder.path() / "answers.jsonl").string();
  const auto right = [&](const std::string& expected) {
    const std::string suite =
        written(folder, "suite.jsonl", question + Json(expected).dump() + "}}\n");
    const ProgramResult result =
        run_program({"eval", tiny_model(), "--suite", suite, "--max-tokens", "12", "--answers",
                     answers, "--json"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.json().find("all")->find("right")->as_int64();
  };
  EXPECT_EQ(right("something else"), 0);
  std::ifstream file(answers);
  std::string line;
  std::getline(file, line);
  const auto said = parse_json(line);
  ASSERT_TRUE(said.ok());
  std::string text = said->find("text")->string();
  const auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; };
  while (!text.empty() && is_space(text.back())) text.pop_back();
  while (!text.empty() && is_space(text.front())) text.erase(0, 1);
  ASSERT_FALSE(text.empty());
  EXPECT_EQ(right(text), 1);
}

TEST(CorpusCli, WrongInputs) {
  const test::TemporaryFolder folder;
  const auto code = [&](const std::string& text) {
    return run_program({"eval", tiny_model(), "--suite", written(folder, "s.jsonl", text)})
        .exit_code;
  };
  EXPECT_EQ(code(""), 2);
  EXPECT_EQ(code("{}\n"), 3);
  EXPECT_EQ(code("not json\n"), 2);
  EXPECT_EQ(code(R"({"messages":[{"role":"user","content":"hi"}]})"), 3);
  const std::string no_corpus = (folder.path() / "none.jsonl").string();
  EXPECT_NE(run_program({"train-tokenizer", (folder.path() / "m").string(), "--corpus", no_corpus,
                         "--template", no_corpus})
                .exit_code,
            0);
  EXPECT_EQ(run_program({"corpus", folder.path().string(), "--samples", "0"}).exit_code, 2);
}

}  // namespace
}  // namespace sluice
