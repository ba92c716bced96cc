// Enough of XML to judge the pictures that sluice writes.
#pragma once

#include <string_view>

namespace sluice::test {

// Whether a text is one well-formed element: names match, attributes are quoted, no bare '&' or
// '<'.
bool well_formed_xml(std::string_view text);

}  // namespace sluice::test
