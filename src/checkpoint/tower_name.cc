#include "checkpoint/tower_name.h"

#include <fmt/format.h>

#include <cctype>

namespace sluice::checkpoint {

std::string tower_name(std::string_view stem, std::string_view type) {
  return fmt::format("mmproj-{}-{}.gguf", stem, type);
}

bool is_tower_name(std::string_view file_name, std::string_view stem) {
  constexpr std::string_view kBegin = "mmproj-", kEnd = ".gguf";
  if (!file_name.starts_with(kBegin) || !file_name.ends_with(kEnd)) return false;
  std::string_view rest = file_name.substr(kBegin.size());
  if (!rest.starts_with(stem)) return false;
  rest.remove_prefix(stem.size());
  if (rest == kEnd) return true;
  // "-BF16": one word that begins with a letter, unlike the size in "-27B".
  return rest.size() > kEnd.size() + 1 && rest[0] == '-' &&
         rest.find('-', 1) == std::string_view::npos &&
         std::isalpha(static_cast<unsigned char>(rest[1])) != 0;
}

}  // namespace sluice::checkpoint
