// Python's two ways to format: "%s" % x and "{}".format(x).
#pragma once

#include "chat/jinja/interpreter.h"

namespace sluice::chat::jinja {

// `arguments` is a tuple of values, one value, or a dict for %(name)s.
Text format_percent(Interpreter& interpreter, const Text& format, const Value& arguments);
Text format_braces(Interpreter& interpreter, const Text& format, Arguments& arguments);

}  // namespace sluice::chat::jinja
