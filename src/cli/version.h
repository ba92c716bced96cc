// What `sluice --version` says.
#pragma once

#include <string>

namespace sluice::cli {

std::string version_text(bool json);  // ends in a new line

}  // namespace sluice::cli
