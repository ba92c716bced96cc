// Operators, subscripts and attributes with Python's meaning inside Jinja2's sandbox.
#pragma once

#include "chat/jinja/ast.h"
#include "chat/jinja/interpreter.h"

namespace sluice::chat::jinja {

Value binary_operation(Interpreter& interpreter, Operator op, const Value& left,
                       const Value& right);
Value negative(const Value& value);
Value positive(const Value& value);
bool compare_operation(Interpreter& interpreter, Operator op, const Value& left,
                       const Value& right);
bool contains(Interpreter& interpreter, const Value& container, const Value& item);

// owner[key]: the element, else the attribute of that name, else undefined.
Value get_item(Interpreter& interpreter, const Value& owner, const Value& key);
// owner.name: the attribute, else the element, else undefined. `name` is a string.
Value get_attribute(Interpreter& interpreter, const Value& owner, const Value& name);
// owner[first:last:step]; an absent bound is None.
Value get_slice(Interpreter& interpreter, const Value& owner, const Value& first, const Value& last,
                const Value& step);

// markupsafe.escape
Text escape_html(const Text& text);

}  // namespace sluice::chat::jinja
