// Which modules an entry of a quantization config's list means. Three dialects, each matched as its
// own loaders do (formats-safetensors.md 3.2, 3.3, 3.8), after both sides have been brought to
// canonical names.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::model {

struct ModuleName {
  explicit ModuleName(std::string_view canonical_module, std::string_view class_name = "Linear");
  std::string canonical, fused;  // fused may be empty
  std::vector<std::string> spellings;
  std::string
      class_name;  // "Linear", "Embedding"; empty: the module is not in the tools' model class
};

class ModulePattern {
 public:
  enum class Dialect { kFp8, kCompressedTensors, kModelOpt };
  // Stronger is larger: a list is searched for exact, then patterns, then class names.
  enum class Strength { kNone, kClass, kPattern, kExact };

  // Rule Q-12: a regular expression outside the subset is refused (look-around, back-references,
  // inline flags, longer than 4 KiB).
  static Result<ModulePattern> parse(std::string_view entry, Dialect dialect);

  // An error only when a regular expression needs more steps than is reasonable.
  Result<Strength> match(const ModuleName& module) const;

  const std::string& text() const { return text_; }

 private:
  struct Regex;
  ModulePattern() = default;
  Dialect dialect_ = Dialect::kFp8;
  std::string text_, canonical_;
  std::shared_ptr<const Regex> regex_;
  bool glob_ = false;
};

// Shell glob as Python's fnmatch: `*` crosses dots, `?`, `[...]`, `[!...]`; case-sensitive; the
// whole text.
bool glob_matches(std::string_view pattern, std::string_view text);

}  // namespace sluice::model
