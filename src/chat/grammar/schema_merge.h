// JSON Schemas joined: what allOf, $ref beside other keywords and anyOf beside other keywords mean.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace sluice::chat::grammar {

// Keywords that say nothing about which values are valid.
bool is_annotation(std::string_view keyword);

// A schema that asks for what both ask for. Objects only. The members keep their order, `a`'s
// first. An error names a keyword of which the two forms cannot be joined.
Result<Json> merge_schemas(const Json& a, const Json& b);

}  // namespace sluice::chat::grammar
