// One conversation or text of the corpus, and the line it becomes.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace sluice::tools::corpus {

struct Sample {
  std::string kind;
  std::string text;  // a plain text; then there are no messages
  Json messages = Json::array();
  Json tools;  // array or null
  bool thinking = true;
  bool keep_thoughts =
      false;  // earlier turns are shown with their thoughts, as servers do with tools
  // How an answer is judged (docs/sprout.md, "Checks"); null: not at all. The answer judged is the
  // message after the first `prompt` ones.
  Json check;
  size_t prompt = 0;
  std::vector<std::string> wordings;  // names of its wordings, for the proof of the split

  // {"id", "kind", "messages", "tools", "chat_template_kwargs", "check", "prompt", "wordings"}, or
  // {"id", "kind", "text"}.
  Json line(std::string id) const;
};

// Messages. A thought is only seen where thinking is on.
Json system_message(std::string content);
Json user_message(std::string content);
Json assistant_message(std::string thought, std::string content);
Json tool_message(std::string content);

// {"type": type, "value": value}
Json check_of(std::string_view type, Json value);

// A conversation of one question and one answer, with its check.
Sample question(std::string user, std::string thought, std::string answer, Json check);

// Replaces each {key} of `form`. Every key of the form must be given.
std::string fill(std::string_view form,
                 std::initializer_list<std::pair<std::string_view, std::string>> values);

// First letter in upper case (ASCII).
std::string capitalised(std::string text);

}  // namespace sluice::tools::corpus
