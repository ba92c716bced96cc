#include "checkpoint/rules.h"

#include <fmt/format.h>

#include "base/json.h"
#include "base/utf8.h"

namespace sluice::checkpoint {

std::string quote(std::string_view text) {
  constexpr size_t kLongest = 96;
  std::string out;
  append_json_string(replace_invalid_utf8(text.substr(0, kLongest)), out);
  if (text.size() > kLongest) out += "...";
  return out;
}

Error file_violation(std::string_view rule, std::string_view file, std::string why,
                     std::string_view remedy) {
  return bad_input(std::string(file), fmt::format("{} (rule {})", why, rule), std::string(remedy));
}

Error tensor_violation(std::string_view rule, std::string_view file, std::string_view tensor,
                       std::string why, std::string_view remedy) {
  return bad_input(fmt::format("{}, tensor {}", file, quote(tensor)),
                   fmt::format("{} (rule {})", why, rule), std::string(remedy));
}

}  // namespace sluice::checkpoint
