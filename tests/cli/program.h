// Runs the built program as a user would.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace sluice::test {

struct ProgramResult {
  int exit_code = -1;
  std::string out, err;

  Json json() const;  // the one document on standard output; fails the test if it is not one
  std::vector<Json> lines() const;  // one document a line
};

// Arguments are passed as they are; `input` is standard input (never a terminal); `environment`
// entries are NAME=value. `output`: a path that takes standard output instead of the result, "-"
// for none at all.
ProgramResult run_program(const std::vector<std::string>& arguments, const std::string& input = {},
                          const std::vector<std::string>& environment = {},
                          const std::string& output = {});

}  // namespace sluice::test
