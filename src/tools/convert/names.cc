#include "tools/convert/names.h"

#include <fmt/format.h>

namespace sluice::convert {

std::string published_name(std::string_view canonical, bool text_only) {
  if (canonical.starts_with("mtp.") || canonical.starts_with("lm_head"))
    return std::string(canonical);
  if (canonical.starts_with("visual.")) return fmt::format("model.{}", canonical);
  return fmt::format("{}{}", text_only ? "model." : "model.language_model.", canonical);
}

}  // namespace sluice::convert
