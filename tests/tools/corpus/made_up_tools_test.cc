// The drills on tools whose names are made up: what is called is what is offered, and could not be
// guessed.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tools/distill/corpus/corpus.h"
#include "tools/distill/corpus/made_up_names.h"
#include "tools/distill/corpus/toolbox.h"

namespace sluice::tools::corpus {
namespace {

constexpr uint64_t kSeed = 7;
constexpr int64_t kSamples = 300;

const Kind& kind_of(const std::string& name) {
  return *std::find_if(kinds().begin(), kinds().end(),
                       [&](const Kind& kind) { return kind.name == name; });
}

// The parameters of each tool of a sample, in the order of the list.
std::map<std::string, std::vector<std::string>> offered(const Sample& sample) {
  std::map<std::string, std::vector<std::string>> tools;
  for (const Json& tool : sample.tools.items()) {
    const Json& function = *tool.find("function");
    auto& parameters = tools[function.find("name")->string()];
    for (const auto& [name, type] : function.find("parameters")->find("properties")->members())
      parameters.push_back(name);
  }
  return tools;
}

std::vector<Json> calls_of(const Sample& sample) {
  std::vector<Json> calls;
  for (const Json& message : sample.messages.items()) {
    const Json* list = message.find("tool_calls");
    if (list == nullptr) continue;
    for (const Json& call : list->items()) calls.push_back(*call.find("function"));
  }
  return calls;
}

// Names, parameters, all of the required ones, and nothing else.
TEST(MadeUpTools, WhatIsCalledIsOffered) {
  size_t calls = 0;
  for (const Split split : {Split::kTrain, Split::kHeldOut}) {
    for (int64_t i = 0; i < kSamples; ++i) {
      const Sample sample = make_sample(kind_of("made_up_tools"), split, kSeed, i);
      const auto tools = offered(sample);
      SCOPED_TRACE(sample.line("x").dump());
      ASSERT_EQ(tools.size(), sample.tools.items().size()) << "two tools of one name";
      EXPECT_LE(tools.size(), 4u);
      for (const Json& tool : sample.tools.items()) {
        const Json& parameters = *tool.find("function")->find("parameters");
        EXPECT_EQ(parameters.find("required")->items().size(),
                  parameters.find("properties")->members().size());
      }
      for (const Json& call : calls_of(sample)) {
        const auto tool = tools.find(call.find("name")->string());
        ASSERT_NE(tool, tools.end());
        std::vector<std::string> given;
        for (const auto& [name, value] : call.find("arguments")->members()) given.push_back(name);
        EXPECT_EQ(given, tool->second);
        ++calls;
      }
    }
  }
  EXPECT_GT(calls, 1000u);
}

// What cannot be known by heart has to be copied.
TEST(MadeUpTools, NamesVary) {
  std::set<std::string> names, parameters;
  size_t tools = 0, parameters_seen = 0, called_twice = 0;
  for (int64_t i = 0; i < kSamples; ++i) {
    const Sample sample = make_sample(kind_of("made_up_tools"), Split::kTrain, kSeed, i);
    for (const auto& [name, own] : offered(sample)) {
      names.insert(name);
      parameters.insert(own.begin(), own.end());
      ++tools;
      parameters_seen += own.size();
      EXPECT_LE(name.size(), 40u);
    }
    std::set<std::string> called;
    for (const Json& call : calls_of(sample))
      called_twice += called.insert(call.find("name")->string()).second ? 0 : 1;
  }
  EXPECT_GT(names.size() * 10, tools * 6);
  EXPECT_GT(parameters.size() * 10, parameters_seen * 3);
  // Only calls side by side share a tool; a later question never does.
  EXPECT_LT(called_twice, static_cast<size_t>(kSamples));
  const auto known = [](const char* kind) {
    std::set<std::string> all;
    for (int64_t i = 0; i < 200; ++i) {
      for (const auto& [name, own] : offered(make_sample(kind_of(kind), Split::kTrain, kSeed, i)))
        all.insert(name);
    }
    return all.size();
  };
  EXPECT_EQ(known("one_call"), 36u);  // the families' own, as ever
  EXPECT_GT(known("made_up_tools"), 200u);
}

// A question's tools were not called for an earlier one: the name could be copied from that call.
TEST(MadeUpTools, EveryQuestionHasToolsOfItsOwn) {
  for (int64_t i = 0; i < kSamples; ++i) {
    const Sample sample = make_sample(kind_of("made_up_tools"), Split::kTrain, kSeed, i);
    std::set<std::string> before, now;
    for (const Json& message : sample.messages.items()) {
      if (message.find("role")->string() == "user") before.merge(now);
      const Json* list = message.find("tool_calls");
      if (list == nullptr) continue;
      for (const Json& call : list->items()) {
        const std::string name = call.find("function")->find("name")->string();
        EXPECT_FALSE(before.contains(name)) << sample.line("x").dump();
        now.insert(name);
      }
    }
  }
}

// Each line of the answer names a tool of the list with its parameters, each tool once.
TEST(MadeUpTools, TheListIsAnsweredInFull) {
  size_t all = 0, with_parameters = 0;
  for (int64_t i = 0; i < 200; ++i) {
    const Sample sample = make_sample(kind_of("tool_names"), Split::kTrain, kSeed, i);
    const auto& messages = sample.messages.items();
    const std::string& question = messages[sample.prompt - 1].find("content")->string();
    const std::string answer = messages[sample.prompt].find("content")->string() + "\n";
    SCOPED_TRACE(question + answer);
    size_t tools = 0;
    const std::string definition = "{\"name\": ";
    for (size_t at = 0; (at = question.find(definition, at)) != std::string::npos; ++tools) {
      // With parameters the line is {"type": ..., "function": {"name": ...}}.
      const size_t start = question.rfind('\n', at) + 1, end = question.find('\n', at);
      const Json line = parse_json(question.substr(start, end - start)).value();
      at = end;
      const Json& function = line.find("function") != nullptr ? *line.find("function") : line;
      std::string expected = ": " + function.find("name")->string();
      if (const Json* parameters = function.find("parameters")) {
        for (const auto& [name, type] : parameters->find("properties")->members())
          expected += " " + name;
        ++with_parameters;
      }
      EXPECT_NE(answer.find(expected + "\n"), std::string::npos) << expected;
    }
    EXPECT_EQ(std::count(answer.begin(), answer.end(), '\n'), static_cast<int64_t>(tools));
    all += tools;
  }
  EXPECT_GT(with_parameters, 100u);
  EXPECT_GT(all, 2 * with_parameters);
}

TEST(MadeUpNames, ASimilarNameSharesAWord) {
  for (int64_t i = 0; i < 100; ++i) {
    Draw draw(kSeed, Split::kTrain, "names", i);
    const std::string snake = similar_name(draw, "read_file");
    EXPECT_TRUE(snake.starts_with("read_") || snake.ends_with("_file")) << snake;
    const std::string camel = similar_name(draw, "readFile");
    EXPECT_TRUE(camel.starts_with("read") || camel.ends_with("File")) << camel;
    EXPECT_EQ(camel.find('_'), std::string::npos) << camel;
  }
}

// Drills are made when they are named, and then alone.
TEST(MadeUpTools, OnlyWhenNamed) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("made_up_tools_" + std::to_string(::getpid()));
  const auto all = write_corpus(folder / "all", {.seed = 1, .samples = 700, .held_out_items = 1});
  ASSERT_TRUE(all.ok());
  const std::vector<std::string> drills = {"labels", "made_up_tools", "tool_names"};
  const auto named = write_corpus(
      folder / "named", {.seed = 1, .samples = 100, .held_out_items = 1, .kinds = drills});
  ASSERT_TRUE(named.ok());
  EXPECT_EQ(named->samples.size(), drills.size());
  EXPECT_EQ(named->held_out, 3);
  for (const char* file : {"train.jsonl", "held_out.jsonl"}) {
    std::ifstream stream(folder / "all" / file);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    EXPECT_GT(text.size(), 1000u);
    for (const std::string& drill : drills) {
      EXPECT_TRUE(all->samples.find(drill) == all->samples.end());
      EXPECT_EQ(text.find("\"" + drill + "\""), std::string::npos) << file;
    }
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace sluice::tools::corpus
