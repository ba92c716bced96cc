// Attributes by their path, as the filters on sequences take them ("boss.name", 0).
#pragma once

#include <vector>

#include "chat/jinja/interpreter.h"

namespace sluice::chat::jinja {

// "a.b.0" in parts, digits as indices; None is the empty path.
std::vector<Value> attribute_parts(const Value& attribute);

// The element at the path's end. `otherwise`, unless null or None, stands in for an undefined one
// on the way.
Value follow(Interpreter& interpreter, Value item, const std::vector<Value>& parts,
             const Value* otherwise = nullptr);

// Texts in lower case, for the filters that compare without regard to it; other values as they are.
Value without_case(Interpreter& interpreter, const Value& value);

}  // namespace sluice::chat::jinja
