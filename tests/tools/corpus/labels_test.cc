// The drill on labels: each line of an answer is a value of the list and the name in front of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tools/distill/corpus/corpus.h"

namespace sluice::tools::corpus {
namespace {

constexpr uint64_t kSeed = 7;

Sample sample_of(Split split, int64_t index) {
  const auto kind = std::find_if(kinds().begin(), kinds().end(), [](const Kind& each) {
    return each.name == std::string("labels");
  });
  return make_sample(*kind, split, kSeed, index);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines(1);
  for (const char letter : text) {
    if (letter == '\n') {
      lines.emplace_back();
    } else {
      lines.back() += letter;
    }
  }
  return lines;
}

// Whether the list has `name` directly in front of `value`, in a plain line or in a definition. The
// list may have a full stop behind it.
bool stands_in_front(const std::string& name, const std::string& value, const std::string& line) {
  for (const char* stop : {"", "."}) {
    for (const char* mark : {") ", ". ", ": ", " = "}) {
      if (line == name + mark + value + stop) return true;
    }
    const std::string definition =
        "{\"name\": \"" + name + "\", \"description\": \"" + value + stop + "\"}";
    if (line.find(definition) != std::string::npos) return true;
  }
  return false;
}

TEST(Labels, EveryLineOfAnAnswerIsInItsList) {
  int64_t lines = 0, in_tools = 0;
  for (const Split split : {Split::kTrain, Split::kHeldOut}) {
    for (int64_t i = 0; i < 300; ++i) {
      const Sample sample = sample_of(split, i);
      const auto& messages = sample.messages.items();
      std::string question;
      for (const Json& message : messages) {
        const std::string& text = message.find("content")->string();
        if (message.find("role")->string() == "user") question = text;
        if (message.find("role")->string() != "assistant") continue;
        const std::vector<std::string> list = lines_of(question);
        in_tools += question.find("\"description\"") != std::string::npos ? 1 : 0;
        for (const std::string& line : lines_of(text)) {
          const size_t blank = line.rfind(' ');
          ASSERT_NE(blank, std::string::npos) << line;
          const std::string value = line.substr(0, blank), name = line.substr(blank + 1);
          EXPECT_EQ(std::count_if(
                        list.begin(), list.end(),
                        [&](const std::string& row) { return stands_in_front(name, value, row); }),
                    1)
              << question << "\n-> " << line;
          ++lines;
        }
      }
    }
  }
  EXPECT_GT(lines, 2000);
  EXPECT_GT(in_tools, 200);
}

TEST(Labels, HeldOutItemsAskOnceAndAreJudged) {
  for (int64_t i = 0; i < 100; ++i) {
    const Sample sample = sample_of(Split::kHeldOut, i);
    const auto& messages = sample.messages.items();
    ASSERT_EQ(sample.prompt + 1, messages.size());
    EXPECT_EQ(sample.check.find("value")->string(), messages.back().find("content")->string());
    EXPECT_EQ(std::count_if(messages.begin(), messages.end(),
                            [](const Json& each) { return each.find("role")->string() == "user"; }),
              1);
  }
}

}  // namespace
}  // namespace sluice::tools::corpus
