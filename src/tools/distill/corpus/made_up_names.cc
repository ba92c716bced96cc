#include "tools/distill/corpus/made_up_names.h"

#include <vector>

#include "tools/distill/corpus/sample.h"
#include "tools/distill/corpus/subjects.h"
#include "tools/distill/corpus/world.h"

namespace sluice::tools::corpus {
namespace {

// What names of tools begin with, in the families and elsewhere.
constexpr const char* kBeginnings[] = {
    "get",   "find",   "show",  "list",  "open",    "read",   "write",   "save",
    "store", "put",    "add",   "new",   "set",     "run",    "start",   "do",
    "plan",  "create", "price", "phone", "weather", "events", "compute", "calculate",
    "file",  "time",   "make",  "fetch", "look",    "check"};

std::string word(Draw& draw) { return draw.chance(50) ? draw.pick(kWords) : made_up_word(draw); }

// The first word of a name is another token behind a blank, a quotation mark and a '=' each ("get",
// " get", "=get"), so that it is not copied but known in all three forms. Most of them are from a
// list short enough to learn; which one it is still says nothing. The words behind are copies.
std::string first_word(Draw& draw) { return draw.chance(70) ? draw.pick(kBeginnings) : word(draw); }

std::string joined(const std::vector<std::string>& words, bool camel) {
  std::string name = words[0];
  for (size_t i = 1; i < words.size(); ++i) name += camel ? capitalised(words[i]) : "_" + words[i];
  return name;
}

bool is_upper(char letter) { return letter >= 'A' && letter <= 'Z'; }

std::vector<std::string> split(std::string_view name) {
  std::vector<std::string> words(1);
  for (const char letter : name) {
    if (letter == '_' || is_upper(letter)) words.emplace_back();
    if (letter != '_') words.back() += is_upper(letter) ? static_cast<char>(letter + 32) : letter;
  }
  return words;
}

}  // namespace

std::string made_up_name(Draw& draw, std::string_view noun) {
  std::vector<std::string> words = {first_word(draw)};
  for (int64_t i = draw.chance(85) ? 1 : 2; i > 0; --i) words.push_back(word(draw));
  if (!noun.empty()) (draw.chance(75) ? words.back() : words.front()) = noun;
  return joined(words, draw.chance(20));
}

std::string similar_name(Draw& draw, std::string_view name) {
  std::vector<std::string> words = split(name);
  const size_t which = draw.below(words.size());
  words[which] = which == 0 ? first_word(draw) : word(draw);
  return joined(words, name.find('_') == std::string_view::npos);
}

std::string made_up_parameter(Draw& draw) {
  const std::string first = draw.chance(60) ? draw.pick(kWords) : made_up_word(draw);
  return draw.chance(25) ? joined({first, word(draw)}, draw.chance(20)) : first;
}

}  // namespace sluice::tools::corpus
