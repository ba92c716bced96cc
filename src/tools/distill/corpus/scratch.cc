#include "tools/distill/corpus/scratch.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace sluice::tools::corpus {
namespace {

std::string padded(int64_t value, size_t length) {
  std::string digits = std::to_string(value);
  return std::string(length - std::min(length, digits.size()), '0') + digits;
}

size_t common_length(int64_t left, int64_t right) {
  return std::to_string(std::max(left, right)).size();
}

}  // namespace

int64_t compute(int64_t left, char operation, int64_t right) {
  if (operation == '+') return left + right;
  if (operation == '-') return left - right;
  return left * right;
}

std::string columns(int64_t left, char operation, int64_t right) {
  SLUICE_CHECK(left >= 0 && right >= 0 && (operation != '-' || left >= right) &&
                   (operation != '*' || right < 10),
               "{}{}{}", left, operation, right);
  const bool product = operation == '*';
  const size_t length = product ? std::to_string(left).size() : common_length(left, right);
  const std::string upper = padded(left, length);
  const std::string lower = product ? std::to_string(right) : padded(right, length);

  std::string text = upper + operation + lower, result;
  int64_t carry = 0;
  for (size_t column = length; column-- > 0;) {
    const int64_t a = upper[column] - '0', b = lower[product ? 0 : column] - '0';
    int64_t value = operation == '-' ? a - b - carry : compute(a, operation, b) + carry;
    const char sign = operation == '-' ? '-' : '+';
    const int64_t carried = operation == '-' ? (value < 0 ? 1 : 0) : value / 10;
    value = operation == '-' ? value + carried * 10 : value % 10;
    result.insert(0, std::to_string(value));
    if (column == 0 && carried > 0) result.insert(0, std::to_string(carried));
    if (product) {
      text += fmt::format("\n{}*{}={:02}+{}={:02}:{}", a, b, a * b, carry, a * b + carry, result);
    } else {
      text += fmt::format("\n{}{}{}{}{}={}{}{}:{}", a, operation, b, sign, carry, value, sign,
                          carried * 10, result);
    }
    carry = carried;
  }
  return text;
}

std::string comparison(int64_t left, int64_t right) {
  const size_t length = common_length(left, right);
  const std::string first = padded(left, length), second = padded(right, length);
  std::string text = first + "?" + second;
  for (size_t i = 0; i < length; ++i) {
    const char sign = first[i] == second[i] ? '=' : first[i] < second[i] ? '<' : '>';
    text += fmt::format("\n{}{}{}", first[i], sign, second[i]);
    if (sign != '=') break;
  }
  return text + "\n" + (left == right ? "equal" : std::to_string(std::max(left, right)));
}

}  // namespace sluice::tools::corpus
