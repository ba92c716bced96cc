#include "tools/eval/answer.h"

#include <algorithm>
#include <optional>

namespace sluice::tools {
namespace {

constexpr std::string_view kOpen = "<tool_call>";

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// Takes `expected` off the front.
bool take(std::string_view& rest, std::string_view expected) {
  if (!rest.starts_with(expected)) return false;
  rest.remove_prefix(expected.size());
  return true;
}

// Takes everything up to `end` and `end` itself.
std::optional<std::string> take_until(std::string_view& rest, std::string_view end) {
  const size_t at = rest.find(end);
  if (at == std::string_view::npos) return std::nullopt;
  std::string text(rest.substr(0, at));
  rest.remove_prefix(at + end.size());
  return text;
}

std::optional<AnswerCall> take_call(std::string_view& rest) {
  AnswerCall call;
  if (!take(rest, kOpen) || !take(rest, "\n<function=")) return std::nullopt;
  auto name = take_until(rest, ">\n");
  if (!name || name->empty() || name->find('\n') != std::string::npos) return std::nullopt;
  call.name = std::move(*name);
  while (take(rest, "<parameter=")) {
    auto key = take_until(rest, ">\n");
    auto value = take_until(rest, "\n</parameter>\n");
    if (!key || !value || key->empty() || key->find('\n') != std::string::npos) return std::nullopt;
    const auto same = [&](const auto& argument) { return argument.first == *key; };
    if (std::any_of(call.arguments.begin(), call.arguments.end(), same)) return std::nullopt;
    call.arguments.emplace_back(std::move(*key), std::move(*value));
  }
  if (!take(rest, "</function>\n</tool_call>")) return std::nullopt;
  return call;
}

}  // namespace

Answer read_answer(std::string_view content) {
  Answer answer;
  const size_t first = content.find(kOpen);
  answer.text = std::string(trimmed(content.substr(0, first)));
  if (first == std::string_view::npos) return answer;
  std::string_view rest = trimmed(content.substr(first));
  while (!rest.empty()) {
    auto call = take_call(rest);
    if (!call || (!rest.empty() && !take(rest, "\n"))) {
      answer.malformed = true;
      return answer;
    }
    answer.calls.push_back(std::move(*call));
  }
  return answer;
}

}  // namespace sluice::tools
