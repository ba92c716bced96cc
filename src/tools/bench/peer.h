// Runs another program beside ours: no shell, output kept, killed when it takes too long.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::tools {

// Words of a command line: separated by blanks; '...' and "..." keep blanks, a backslash outside
// of '...' keeps the next character. Nothing is expanded. Errors: an open quote, no word.
Result<std::vector<std::string>> split_command(std::string_view command);

struct PeerRun {
  double seconds = 0;
  int exit_status = 0;  // 128 + the signal's number if one ended it
  bool timed_out = false;
  std::string output;  // the last part of standard output and standard error, in order of arrival
};

// The program is found by PATH and reads nothing. Past `timeout_seconds` it is killed with all that
// it has started. Errors: it cannot be started. An exit status other than 0 is no error here.
Result<PeerRun> run_peer(const std::vector<std::string>& words, double timeout_seconds);

// The first number behind the last place of `marker` in the output: how a peer's own figure is
// read ("tg64 |" for a table, "eval time =" for a log). Nothing if there is none.
std::optional<double> number_behind(std::string_view output, std::string_view marker);

}  // namespace sluice::tools
