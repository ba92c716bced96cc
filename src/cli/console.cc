#include "cli/console.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/exit_code.h"
#include "base/log.h"
#include "base/switches.h"
#include "base/utf8.h"

namespace sluice::cli {
namespace {

// What arguments and files brought in must neither break the line nor move the cursor.
std::string on_one_line(std::string_view text) {
  std::string out;
  for (const char c : replace_invalid_utf8(text)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out += c;
    } else {
      out += c == '\n' ? std::string("\\n") : fmt::format("\\x{:02x}", byte);
    }
  }
  return out;
}

}  // namespace

Console::Console(ConsoleSettings settings)
    : settings_(settings),
      output_terminal_(::isatty(STDOUT_FILENO) == 1),
      error_terminal_(::isatty(STDERR_FILENO) == 1) {
  const bool moves = environment("TERM") != "dumb";
  colour_ = output_terminal_ && !environment("NO_COLOR") && moves;
  redraws_ = error_terminal_ && moves;
  set_log_sink([this](LogLevel level, std::string_view text) {
    if (level >= LogLevel::kWarning) {
      warn(text);
    } else {
      note(text);
    }
  });
}

void Console::print(std::string_view text) const {
  errno = 0;
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if ((written && std::fflush(stdout) == 0) || output_error_ != 0) return;
  output_error_ = errno != 0 ? errno : EIO;
  interrupt_count().fetch_add(1);
}

// Names of files and arguments may be any bytes; JSON is UTF-8.
void Console::print_json(const Json& document) const {
  print(replace_invalid_utf8(document.dump()) + "\n");
}

void Console::warn(std::string_view text) const {
  if (settings_.quiet) return;
  clear_progress();
  fmt::print(stderr, "sluice: warning: {}\n", on_one_line(text));
}

void Console::note(std::string_view text) const {
  if (!settings_.verbose) return;
  clear_progress();
  fmt::print(stderr, "sluice: {}\n", text);
}

void Console::progress(std::string_view text) const {
  if (settings_.quiet) return;
  if (redraws_) {
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
    fmt::print(stderr, "sluice: error: {}\n", on_one_line(error.message()));
  }
  return code;
}

int Console::settle(int code) const {
  if (output_error_ == 0) return code;
  clear_progress();
  fmt::print(stderr, "sluice: error: standard output: {}. Give it room or another place\n",
             std::generic_category().message(output_error_));
  constexpr int kInterrupted = 130;
  return code == 0 || code == kInterrupted ? exit_code(ErrorCode::kFailed) : code;
}

std::atomic<int>& interrupt_count() {
  static std::atomic<int> count{0};
  return count;
}

void install_interrupt_handler(bool watched) {
  static std::atomic<int> most{0};
  most = watched ? 3 : 1;
  struct sigaction action {};
  action.sa_handler = [](int) {
    constexpr int kInterrupted = 130;
    if (interrupt_count().fetch_add(1) + 1 >= most) ::_exit(kInterrupted);
  };
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
}

}  // namespace sluice::cli
