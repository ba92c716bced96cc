// Where the program speaks: results to standard output, everything else to standard error.
#pragma once

#include <atomic>
#include <cstdio>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace sluice::cli {

// How the program may write, settled once from the flags and the terminal.
struct ConsoleSettings {
  bool json = false;
  bool quiet = false;
  bool verbose = false;
  bool progress = false;  // --progress: also without a terminal
};

class Console {
 public:
  explicit Console(ConsoleSettings settings);

  const ConsoleSettings& settings() const { return settings_; }
  bool output_is_terminal() const { return output_terminal_; }
  bool colour() const { return colour_; }  // standard output is a terminal that takes colour

  // Standard output. Flushes, so that a reader of a pipe sees a line when it is complete. The first
  // failure counts as an interrupt, so that nothing goes on for a reader who gets nothing.
  void print(std::string_view text) const;
  void print_json(const Json& document) const;  // one line

  void warn(
      std::string_view text) const;  // "sluice: warning: ..." on standard error, unless --quiet
  void note(std::string_view text) const;  // only with --verbose

  // A line that is redrawn ("loading 43 %"): on a terminal, or with --progress as separate lines.
  // clear_progress() before other text.
  void progress(std::string_view text) const;
  void clear_progress() const;

  // "sluice: error: WHAT: WHY. REMEDY", or the same as JSON on standard output. Returns the exit
  // code.
  int report(const Error& error) const;
  // The program's exit code: `code`, but if standard output took less than was printed, 1 for 0 and
  // for 130, with an error on standard error.
  int settle(int code) const;

 private:
  ConsoleSettings settings_;
  bool output_terminal_ = false, error_terminal_ = false, colour_ = false, redraws_ = false;
  mutable bool progress_shown_ = false;
  mutable int output_error_ = 0;  // errno of the first failed write
};

// Counted by SIGINT; commands look at it between steps. The third ends the program where it stands,
// with exit code 130, or the first if nobody watches: loading a model looks at nothing.
std::atomic<int>& interrupt_count();
void install_interrupt_handler(bool watched);

}  // namespace sluice::cli
