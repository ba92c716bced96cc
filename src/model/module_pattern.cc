#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/module_pattern.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <cstdint>

#include "model/tensor_names.h"

namespace sluice::model {
namespace {

constexpr size_t kLongestRegex = 4096;
constexpr uint32_t kMatchLimit =
    100'000;  // names are short: honest patterns need a few hundred steps

// What Python's re and PCRE2 read alike and what configs use. Everything that begins with "(?" is
// refused, except the plain group.
Status check_subset(std::string_view regex) {
  const auto refuse = [&](std::string_view why) {
    return Status(bad_input(fmt::format("pattern \"re:{}\"", regex.substr(0, 200)),
                            fmt::format("Q-12: {}", why), "list the modules by name"));
  };
  if (regex.size() > kLongestRegex)
    return refuse(fmt::format("{} bytes long, the limit is {}", regex.size(), kLongestRegex));
  bool in_class = false;
  for (size_t i = 0; i < regex.size(); ++i) {
    const char c = regex[i];
    if (c == '\\') {
      if (i + 1 == regex.size()) return refuse("ends in a backslash");
      const char escaped = regex[++i];
      const bool letter = (escaped >= 'a' && escaped <= 'z') || (escaped >= 'A' && escaped <= 'Z');
      const bool digit = escaped >= '0' && escaped <= '9';
      if (digit) return refuse("back-reference or octal escape");
      if (letter && std::string_view("dDwWsSbB").find(escaped) == std::string_view::npos) {
        return refuse(fmt::format("escape \\{} is not supported", escaped));
      }
    } else if (in_class) {
      if (c == ']') in_class = false;
    } else if (c == '[') {
      in_class = true;
      // A bracket that stands first in its class is an ordinary character.
      if (i + 1 < regex.size() && regex[i + 1] == '^') ++i;
      if (i + 1 < regex.size() && regex[i + 1] == ']') ++i;
    } else if (c == '(' && i + 1 < regex.size() && (regex[i + 1] == '?' || regex[i + 1] == '*')) {
      if (regex.substr(i + 1, 2) != "?:")
        return refuse("look-around, inline flags and named groups are not supported");
    } else if ((c == '*' || c == '+' || c == '?' || c == '}') && i + 1 < regex.size() &&
               regex[i + 1] == '+') {
      return refuse("possessive repetition is not supported");
    }
  }
  return {};
}

// Position after the class "[...]" that begins at `open`, and whether it holds `c`; npos if it
// never closes.
size_t match_class(std::string_view pattern, size_t open, char c, bool& holds) {
  size_t i = open + 1;
  const bool negated = i < pattern.size() && pattern[i] == '!';
  if (negated) ++i;
  const size_t first = i;
  holds = false;
  for (; i < pattern.size(); ++i) {
    if (pattern[i] == ']' && i > first) {
      holds = holds != negated;
      return i + 1;
    }
    if (i + 2 < pattern.size() && pattern[i + 1] == '-' && pattern[i + 2] != ']') {
      holds = holds || (pattern[i] <= c && c <= pattern[i + 2]);
      i += 2;
    } else {
      holds = holds || pattern[i] == c;
    }
  }
  return std::string_view::npos;
}

}  // namespace

// Backtracks to the last star only, which is enough for globs and keeps the worst case at pattern
// times text.
bool glob_matches(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    bool matched = false;
    size_t next = p;
    if (p < pattern.size()) {
      if (pattern[p] == '*') {
        star = p++;
        resume = t;
        continue;
      }
      if (pattern[p] == '?') {
        matched = true;
        next = p + 1;
      } else if (pattern[p] == '[') {
        next = match_class(pattern, p, text[t], matched);
        if (next == std::string_view::npos) {  // an open bracket that never closes is a character
          matched = text[t] == '[';
          next = p + 1;
        }
      } else {
        matched = pattern[p] == text[t];
        next = p + 1;
      }
    }
    if (matched) {
      p = next;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

ModuleName::ModuleName(std::string_view canonical_module, std::string_view class_of_module)
    : canonical(canonical_module),
      fused(fused_module(canonical_module)),
      spellings(model::spellings(canonical_module)),
      class_name(class_of_module) {}

struct ModulePattern::Regex {
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  Regex() = default;
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;
  ~Regex() {
    pcre2_code_free(code);
    pcre2_match_context_free(context);
  }
};

Result<ModulePattern> ModulePattern::parse(std::string_view entry, Dialect dialect) {
  ModulePattern pattern;
  pattern.dialect_ = dialect;
  pattern.text_ = entry;
  pattern.canonical_ = canonical_name(entry);
  if (dialect == Dialect::kModelOpt) {
    pattern.glob_ = entry.find_first_of("*?[") != std::string_view::npos;
    return pattern;
  }
  if (dialect != Dialect::kCompressedTensors || !entry.starts_with("re:")) return pattern;

  const std::string_view regex = entry.substr(3);
  SLUICE_TRY(check_subset(regex));
  auto compiled = std::make_shared<Regex>();
  int error = 0;
  PCRE2_SIZE where = 0;
  compiled->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(regex.data()), regex.size(),
                                 PCRE2_ANCHORED, &error, &where, nullptr);
  if (compiled->code == nullptr) {
    return bad_input(fmt::format("pattern \"{}\"", entry.substr(0, 200)),
                     fmt::format("Q-12: not a regular expression (at byte {})", where));
  }
  compiled->context = pcre2_match_context_create(nullptr);
  pcre2_set_match_limit(compiled->context, kMatchLimit);
  pcre2_set_depth_limit(compiled->context, 10'000);
  pattern.regex_ = std::move(compiled);
  return pattern;
}

Result<ModulePattern::Strength> ModulePattern::match(const ModuleName& module) const {
  if (regex_) {
    const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> data(
        pcre2_match_data_create_from_pattern(regex_->code, nullptr), pcre2_match_data_free);
    for (const std::string& spelling : module.spellings) {
      const int rc = pcre2_match(regex_->code, reinterpret_cast<PCRE2_SPTR>(spelling.data()),
                                 spelling.size(), 0, 0, data.get(), regex_->context);
      if (rc >= 0) return Strength::kPattern;
      if (rc != PCRE2_ERROR_NOMATCH) {
        return bad_input(fmt::format("pattern \"{}\"", text_.substr(0, 200)),
                         "Q-12: takes too many steps to match", "list the modules by name");
      }
    }
    return Strength::kNone;
  }
  if (glob_) {
    for (const std::string& spelling : module.spellings) {
      if (glob_matches(text_, spelling)) return Strength::kPattern;
    }
    return Strength::kNone;
  }
  if (canonical_ == module.canonical || (!module.fused.empty() && canonical_ == module.fused))
    return Strength::kExact;
  if (dialect_ != Dialect::kFp8 && !module.class_name.empty() && text_ == module.class_name)
    return Strength::kClass;
  if (dialect_ == Dialect::kFp8) {
    // transformers' own rule besides vLLM's exact one: everything below a module, or a suffix of
    // the path.
    const std::string_view path = module.canonical;
    if (path.size() > canonical_.size() && path.starts_with(canonical_) &&
        path[canonical_.size()] == '.')
      return Strength::kPattern;
    if (!text_.empty() && path.ends_with(text_)) return Strength::kPattern;
  }
  return Strength::kNone;
}

}  // namespace sluice::model
