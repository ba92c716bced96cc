// Methods of str, dict, list and tuple that a template may call.
#pragma once

#include <string_view>

#include "chat/jinja/interpreter.h"

namespace sluice::chat::jinja {

enum class MethodAccess {
  kNone,  // Python has no such attribute
  kSafe,
  kUnsafe,  // it changes the object or is internal: the sandbox hands out an undefined that
            // complains when used
};
MethodAccess method_access(const Value& owner, std::string_view name);

// Calls a method that is kSafe. Those that Python has and we have not raise "Unsupported".
Value call_method(Interpreter& interpreter, const Value& self, std::string_view name,
                  Arguments& arguments);
Value call_text_method(Interpreter& interpreter, const Value& self, std::string_view name,
                       Arguments& arguments);

// str.strip and its sides, also for the filter: white space unless `characters` is given and not
// None.
enum class StripSide { kBoth, kLeft, kRight };
Value strip_text(const Value& self, const Value* characters, StripSide side);
// str.replace; a negative count means all.
Text replace_text(Interpreter& interpreter, const Text& text, std::string_view old,
                  const Text& replacement, int64_t count);
Text join_text(Interpreter& interpreter, const Text& separator, const std::vector<Text>& parts);

}  // namespace sluice::chat::jinja
