#include "base/log.h"

#include <mutex>

namespace sluice {
namespace {
std::mutex mutex;
LogSink& sink() {
  static LogSink instance;
  return instance;
}
}  // namespace

void set_log_sink(LogSink new_sink) {
  const std::lock_guard lock(mutex);
  sink() = std::move(new_sink);
}

void log_message(LogLevel level, std::string_view text) {
  const std::lock_guard lock(mutex);
  if (sink()) sink()(level, text);
}

}  // namespace sluice
