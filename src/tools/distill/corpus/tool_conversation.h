// A conversation with tools: one or several questions, each answered by calls and their results.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/distill/corpus/draw.h"
#include "tools/distill/corpus/sample.h"
#include "tools/distill/corpus/toolbox.h"

namespace sluice::tools::corpus {

// Any of the assistant's messages can be the one that a held-out item asks for.
class ToolConversation {
 public:
  ToolConversation(Draw& draw, Toolbox box) : draw_(draw), box_(std::move(box)) {}

  Draw& draw() { return draw_; }
  const Toolbox& box() const { return box_; }

  // The user's question: opener x form x closer.
  void ask(std::string_view family, const char* const (&forms)[4],
           std::initializer_list<std::pair<std::string_view, std::string>> values);

  struct Step {
    Json call;  // bare
    std::string result;
  };
  // Calls side by side, and their results.
  void call(std::string thought, const std::vector<Step>& steps);
  // One call, which the thought names.
  void call(Tool tool, std::initializer_list<Json> values, std::string result);

  void answer(std::string text, Json check);
  void answer_text(const std::string& text) { answer(text, check_of("text", text)); }
  void answer_number(std::string text, int64_t value) {
    answer(std::move(text), check_of("number", value));
  }

  // A question and its answer without any call.
  void talk(std::string user, std::string thought, std::string text, Json check);

  // Thinking is on or off for the whole of it. The item asked for is one of the assistant's.
  Sample finish();

 private:
  struct Turn {
    size_t position;
    Json check;
  };
  void say(std::string thought, std::string text, Json check);

  Draw& draw_;
  Toolbox box_;
  Json messages_ = Json::array();
  std::vector<Turn> turns_;
};

}  // namespace sluice::tools::corpus
