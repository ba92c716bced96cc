// Random calls: what is well written is read exactly, what is damaged loses no text, and neither
// depends on how the text was cut into tokens.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "chat/calls/loose_json.h"
#include "chat/output_harness.h"
#include "chat/output_machine.h"

namespace sluice::chat {
namespace {

class Dice {
 public:
  explicit Dice(unsigned seed) : random_(seed) {}
  size_t below(size_t n) { return random_() % n; }
  template <typename T>
  const T& pick(const std::vector<T>& from) {
    return from[below(from.size())];
  }

 private:
  std::mt19937 random_;
};

std::vector<ToolDeclaration> tools() {
  return tool_declarations(*parse_json(R"([
      {"name": "write", "parameters": {"properties": {"path": {"type": "string"}, "text": {"type": "string"},
       "mode": {"type": "integer"}, "more": {"type": ["object", "null"]}}}}, {"name": "now"}])"));
}

// What a file may hold: words, and the markup itself where it does not close anything.
std::string random_text(Dice& dice) {
  static const std::vector<std::string> kPieces = {"a",
                                                   "bc",
                                                   " ",
                                                   "\n",
                                                   "é",
                                                   "🙂",
                                                   "<",
                                                   ">",
                                                   "\"",
                                                   "\\",
                                                   "</parameter-",
                                                   "<parameter=x>",
                                                   "<function=now>",
                                                   "</function>,",
                                                   "=",
                                                   "{",
                                                   "</p>",
                                                   "\t",
                                                   "<tool_call>",
                                                   "</tool_call>x",
                                                   "</parameter>."};
  std::string text = "(";  // and ")": neither a closer nor white space touches the markup around it
  for (size_t i = dice.below(8); i > 0; --i) text += dice.pick(kPieces);
  return text + ")";
}

struct Written {
  std::string text;
  std::vector<Call> calls;
};

Written random_calls(Dice& dice) {
  Written written;
  for (size_t i = 1 + dice.below(3); i > 0; --i) {
    Json arguments = Json::object();
    const bool now = dice.below(4) == 0;
    std::string body;
    const auto add = [&](const std::string& key, const std::string& text, Json value) {
      arguments.set(key, std::move(value));
      body += "<parameter=" + key + ">\n" + text + "\n</parameter>\n";
    };
    if (!now) {
      if (dice.below(2)) add("mode", std::to_string(i), Json(static_cast<int64_t>(i)));
      const std::string path = random_text(dice), text = random_text(dice);
      add("path", path, path);
      if (dice.below(2)) add("text", text, text);
      if (dice.below(2)) add("more", "null", Json());
    }
    const std::string name = now ? "now" : "write";
    written.text += "<tool_call>\n<function=" + name + ">\n" + body + "</function>\n</tool_call>";
    if (dice.below(2)) written.text += "\n";
    Call& call = written.calls.emplace_back(Call{name, {}, true});
    append_spaced_json(arguments, call.arguments);
  }
  return written;
}

template <typename Cut>
Answer answer_to(const std::string& text, bool thinking, OutputEnd how, Cut cut) {
  TokenTable table;
  const TokenTable::Ids ids = table.tokens(text, cut);
  OutputMachine machine(table.vocabulary(),
                        {.starts_in_reasoning = thinking, .parse_tools = true, .tools = tools()});
  return play(machine, ids, how);
}

// One character a token, whole runs, and random cuts give the same.
Answer any_cut(const std::string& text, bool thinking, OutputEnd how, Dice& dice) {
  const Answer answer = answer_to(text, thinking, how, [](size_t) { return true; });
  EXPECT_EQ(answer.broken, "") << text;
  EXPECT_EQ(answer_to(text, thinking, how, [](size_t) { return false; }), answer) << text;
  EXPECT_EQ(answer_to(text, thinking, how, [&](size_t) { return dice.below(4) == 0; }), answer)
      << text;
  return answer;
}

std::string squeezed(const std::string& text) {
  std::string kept;
  for (const char c : text) {
    if (c != ' ' && c != '\n' && c != '\t') kept += c;
  }
  return kept;
}

TEST(ToolCallProperty, WellWrittenCallsAreReadExactly) {
  Dice dice(1);
  for (int round = 0; round < 1500; ++round) {
    const Written written = random_calls(dice);
    const bool thinking = dice.below(2) == 0;
    const Answer answer = any_cut("Text. " + written.text, thinking, OutputEnd::kStopped, dice);
    ASSERT_EQ(answer.calls, written.calls) << written.text;
    ASSERT_EQ(answer.content + answer.reasoning, thinking ? "Text." : "Text. ");
  }
}

TEST(ToolCallProperty, DamagedCallsLoseNoText) {
  Dice dice(2);
  static const std::vector<std::string> kPieces = {"<tool_call>", "</tool_call>",
                                                   "<function=",  "</function>",
                                                   "<parameter=", "</parameter>",
                                                   "now>",        "path>",
                                                   "\n",          " ",
                                                   "x",           "{\"name\": \"now\"}",
                                                   "{",           "<",
                                                   "</",          ">",
                                                   "é",           "<function name=\""};
  int without = 0;
  for (int round = 0; round < 6000; ++round) {
    std::string text = dice.below(3) == 0 ? "" : random_calls(dice).text;
    for (size_t i = 1 + dice.below(6); i > 0; --i) {
      const size_t at = dice.below(text.size() + 1);
      if (dice.below(2)) {
        text.insert(at, dice.pick(kPieces));
      } else {
        text.erase(at, dice.below(20));
      }
    }
    const OutputEnd how = dice.below(2) ? OutputEnd::kStopped : OutputEnd::kCut;
    const Answer answer = any_cut(text, dice.below(2) == 0, how, dice);
    ASSERT_EQ(answer.broken, "");
    if (!answer.calls.empty() || find_invalid_utf8(text)) continue;
    ++without;
    ASSERT_EQ(squeezed(answer.reasoning + answer.content), squeezed(text)) << text;
  }
  EXPECT_GT(without, 500);
}

}  // namespace
}  // namespace sluice::chat
