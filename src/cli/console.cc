#include "cli/console.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include "base/exit_code.h"
#include "base/log.h"
#include "base/switches.h"

namespace sluice::cli {

Console::Console(ConsoleSettings settings)
    : settings_(settings),
      output_terminal_(::isatty(STDOUT_FILENO) == 1),
      error_terminal_(::isatty(STDERR_FILENO) == 1) {
  colour_ = output_terminal_ && !environment("NO_COLOR") && environment("TERM") != "dumb";
  set_log_sink([this](LogLevel level, std::string_view text) {
    if (level >= LogLevel::kWarning) {
      warn(text);
    } else {
      note(text);
    }
  });
}

void Console::print(std::string_view text) const {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void Console::print_json(const Json& document) const { print(document.dump() + "\n"); }

void Console::warn(std::string_view text) const {
  if (settings_.quiet) return;
  clear_progress();
  fmt::print(stderr, "sluice: warning: {}\n", text);
}

void Console::note(std::string_view text) const {
  if (!settings_.verbose) return;
  clear_progress();
  fmt::print(stderr, "sluice: {}\n", text);
}

void Console::progress(std::string_view text) const {
  if (settings_.quiet) return;
  if (error_terminal_) {
    fmt::print(stderr, "\r\033[K{}", text);
    std::fflush(stderr);
    progress_shown_ = true;
  } else if (settings_.progress) {
    fmt::print(stderr, "{}\n", text);
  }
}

void Console::clear_progress() const {
  if (!progress_shown_) return;
  fmt::print(stderr, "\r\033[K");
  std::fflush(stderr);
  progress_shown_ = false;
}

int Console::report(const Error& error) const {
  clear_progress();
  const int code = exit_code(error.code);
  if (settings_.json) {
    print_json(error_document(error));
  } else {
    fmt::print(stderr, "sluice: error: {}\n", error.message());
  }
  return code;
}

std::atomic<int>& interrupt_count() {
  static std::atomic<int> count{0};
  return count;
}

void install_interrupt_handler() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupt_count().fetch_add(1); };
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
}

}  // namespace sluice::cli
