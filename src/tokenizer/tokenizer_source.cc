#include "tokenizer/tokenizer_source.h"

#include <fmt/format.h>

#include "base/utf8.h"
#include "tokenizer/merge_table.h"

namespace sluice::tokenizer {

Result<TokenId> checked_id(const std::string& origin, std::string_view owner, const Json& value) {
  const std::optional<int64_t> id = value.as_int64();
  if (id && *id >= 0 && *id <= kMaxTokenId) return static_cast<TokenId>(*id);
  const std::string shown =
      value.is_number() ? value.spelling() : std::string("a ") + value.kind_name();
  return bad_input(origin, fmt::format("the id of token {} is {}, not an integer from 0 to {}",
                                       quoted(owner), shown, kMaxTokenId));
}

std::string quoted(std::string_view text) {
  constexpr size_t kShown = 60;
  std::string_view shown = text.substr(0, kShown);
  if (shown.size() < text.size()) shown.remove_suffix(incomplete_utf8_suffix(shown));
  std::string out;
  append_json_string(replace_invalid_utf8(shown), out);
  if (shown.size() < text.size()) out += fmt::format("... ({} bytes)", text.size());
  return out;
}

}  // namespace sluice::tokenizer
