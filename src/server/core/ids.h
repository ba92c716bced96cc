// Random names of things that clients refer back to.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace sluice::server {

// prefix + 24 of [A-Za-z0-9]. Handed to encoders, so that a test can count instead.
using IdSource = std::function<std::string(std::string_view prefix)>;

std::string random_id(std::string_view prefix);

}  // namespace sluice::server
