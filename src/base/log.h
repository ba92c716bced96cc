// The library's one way to say something: a sink that the program installs. Without a sink nothing
// is written; the library itself never touches standard output or standard error.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <string_view>

namespace sluice {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

using LogSink = std::function<void(LogLevel, std::string_view)>;

void set_log_sink(LogSink sink);  // replaces the sink; thread-safe
void log_message(LogLevel level, std::string_view text);

template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_message(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_message(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace sluice
