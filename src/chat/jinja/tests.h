// The tests of templates ("x is defined"), by name.
#pragma once

#include <string_view>

#include "chat/jinja/interpreter.h"

namespace sluice::chat::jinja {

struct TestRule {
  std::string_view name;
  bool (*holds)(Interpreter&, const Value& subject, Arguments&);
};
const TestRule* find_test(std::string_view name);  // nullptr: no such test

}  // namespace sluice::chat::jinja
