// What makes an answer right: the checks of a suite's items.
#pragma once

#include <cstdint>

#include "base/json.h"
#include "base/result.h"
#include "tools/eval/answer.h"

namespace sluice::tools {

class AnswerCheck {
 public:
  // {"type": TYPE, "value": VALUE}; an unknown type or a value of the wrong kind is an error.
  //
  //   number    the last number of the text, digit by digit: "062" is not 62
  //   letter    the last letter that stands alone
  //   text      the whole text
  //   contains  the text holds the value
  //   json      the text is that JSON value; the order of keys does not matter
  //   calls     these calls in this order, [{"name", "arguments": {}}], all arguments and no
  //   others:
  //             a string as it is, any other value as JSON
  //
  // Every type but `calls` also asks for no call.
  static Result<AnswerCheck> read(const Json& json);

  bool passes(const Answer& answer) const;

 private:
  enum class Type : uint8_t { kNumber, kLetter, kText, kContains, kJson, kCalls };
  AnswerCheck(Type type, Json value) : type_(type), value_(std::move(value)) {}

  Type type_;
  Json value_;
};

// Equal but for the order of keys; numbers by spelling.
bool same_json(const Json& a, const Json& b);

}  // namespace sluice::tools
