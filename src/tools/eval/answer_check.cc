#include "tools/eval/answer_check.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::tools {
namespace {

bool is_digit(char character) { return character >= '0' && character <= '9'; }
bool is_letter(char character) {
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z');
}

// "-12" or "3.5" at the end of the last run of digits; empty if there is none.
std::string last_number(std::string_view text) {
  size_t end = text.size();
  while (end > 0 && !is_digit(text[end - 1])) --end;
  size_t begin = end;
  const auto part_of_number = [&](size_t i) {
    return is_digit(text[i]) || (text[i] == '.' && i > 0 && is_digit(text[i - 1]));
  };
  while (begin > 0 && part_of_number(begin - 1)) --begin;
  // A minus sign, unless it stands between two operands.
  if (begin > 0 && begin < end && text[begin - 1] == '-') {
    const bool operation = begin > 1 && (is_digit(text[begin - 2]) || is_letter(text[begin - 2]));
    if (!operation) --begin;
  }
  return std::string(text.substr(begin, end - begin));
}

std::string last_single_letter(std::string_view text) {
  for (size_t i = text.size(); i-- > 0;) {
    const auto inside_word = [&](size_t at) { return is_letter(text[at]) || is_digit(text[at]); };
    if (is_letter(text[i]) && (i == 0 || !inside_word(i - 1)) &&
        (i + 1 == text.size() || !inside_word(i + 1)))
      return std::string(1, text[i]);
  }
  return {};
}

bool same_argument(const Json& expected, const std::string& written) {
  if (expected.is_string()) return expected.string() == written;
  const Result<Json> value = parse_json(written);
  return value.ok() && same_json(*value, expected);
}

bool same_call(const Json& expected, const AnswerCall& call) {
  const auto& arguments = expected.find("arguments")->members();
  if (expected.find("name")->string() != call.name) return false;
  if (arguments.size() != call.arguments.size()) return false;
  return std::all_of(arguments.begin(), arguments.end(), [&](const Json::Member& argument) {
    return std::any_of(call.arguments.begin(), call.arguments.end(), [&](const auto& written) {
      return written.first == argument.first && same_argument(argument.second, written.second);
    });
  });
}

bool is_call(const Json& json) {
  const Json* name = json.find("name");
  const Json* arguments = json.find("arguments");
  return name != nullptr && name->is_string() && arguments != nullptr && arguments->is_object();
}

}  // namespace

bool same_json(const Json& a, const Json& b) {
  if (a.kind() != b.kind()) return false;
  if (a.is_array()) {
    return std::equal(a.items().begin(), a.items().end(), b.items().begin(), b.items().end(),
                      same_json);
  }
  if (!a.is_object()) return a == b;
  if (a.members().size() != b.members().size()) return false;
  return std::all_of(a.members().begin(), a.members().end(), [&](const Json::Member& member) {
    const Json* other = b.find(member.first);
    return other != nullptr && same_json(member.second, *other);
  });
}

Result<AnswerCheck> AnswerCheck::read(const Json& json) {
  const Json* type = json.find("type");
  const Json* value = json.find("value");
  if (type == nullptr || !type->is_string() || value == nullptr)
    return bad_input("check", "is not an object with type and value");
  const std::string& name = type->string();
  const auto wrong_value = [&](const char* expected) {
    return bad_input("check " + name,
                     fmt::format("value is a {}, {} was expected", value->kind_name(), expected));
  };
  if (name == "number") {
    if (!value->is_number()) return wrong_value("a number");
    return AnswerCheck(Type::kNumber, *value);
  }
  if (name == "json") return AnswerCheck(Type::kJson, *value);
  if (name == "calls") {
    if (!value->is_array() || value->items().empty() ||
        !std::all_of(value->items().begin(), value->items().end(), is_call))
      return wrong_value("an array of calls");
    return AnswerCheck(Type::kCalls, *value);
  }
  if (name != "letter" && name != "text" && name != "contains")
    return bad_input("check", fmt::format("type {} is unknown", name),
                     "Use number, letter, text, contains, json or calls");
  if (!value->is_string() || value->string().empty()) return wrong_value("a text");
  return AnswerCheck(name == "letter" ? Type::kLetter
                     : name == "text" ? Type::kText
                                      : Type::kContains,
                     *value);
}

bool AnswerCheck::passes(const Answer& answer) const {
  if (answer.malformed) return false;
  if (type_ == Type::kCalls) {
    const auto& expected = value_.items();
    return std::equal(expected.begin(), expected.end(), answer.calls.begin(), answer.calls.end(),
                      same_call);
  }
  if (!answer.calls.empty()) return false;
  switch (type_) {
    case Type::kNumber:
      return last_number(answer.text) == value_.spelling();
    case Type::kLetter:
      return last_single_letter(answer.text) == value_.string();
    case Type::kText:
      return answer.text == value_.string();
    case Type::kContains:
      return answer.text.find(value_.string()) != std::string::npos;
    case Type::kJson: {
      const Result<Json> json = parse_json(answer.text);
      return json.ok() && same_json(*json, value_);
    }
    case Type::kCalls:
      break;
  }
  return false;
}

}  // namespace sluice::tools
