// How a template fails inside the engine.
//
// An exception, unlike everywhere else in sluice: an error may rise out of any operator, in any
// depth of an expression, and every function here would otherwise only pass it on. It never leaves
// src/chat/jinja: render() and parse() turn it into a value.
#pragma once

#include <fmt/format.h>

#include <exception>
#include <string>
#include <utility>

namespace sluice::chat::jinja {

// `kind` is the name of the exception that Jinja2 raises in Python ("TypeError", "UndefinedError",
// "TemplateSyntaxError"); kind "Unsupported" is ours: Jinja2 would go on. Lines and columns start
// at 1, columns count characters; 0 means unknown (the renderer fills in the node at work).
class JinjaError : public std::exception {
 public:
  JinjaError(std::string kind, std::string message, int line = 0, int column = 0)
      : kind_(std::move(kind)), message_(std::move(message)), line_(line), column_(column) {}

  const char* what() const noexcept override { return message_.c_str(); }
  const std::string& kind() const { return kind_; }
  const std::string& message() const { return message_; }
  std::string text() const { return kind_ + ": " + message_; }
  int line() const { return line_; }
  int column() const { return column_; }

 private:
  std::string kind_, message_;
  int line_, column_;
};

template <typename... Args>
[[noreturn]] void raise(const char* kind, fmt::format_string<Args...> format, Args&&... args) {
  throw JinjaError(kind, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
[[noreturn]] void type_error(fmt::format_string<Args...> format, Args&&... args) {
  raise("TypeError", format, std::forward<Args>(args)...);
}
template <typename... Args>
[[noreturn]] void value_error(fmt::format_string<Args...> format, Args&&... args) {
  raise("ValueError", format, std::forward<Args>(args)...);
}

}  // namespace sluice::chat::jinja
