// What the commands that write builds share: flags, the words before and during the work, the
// report after it.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"
#include "base/threads.h"
#include "cli/console.h"
#include "tools/convert/source.h"
#include "tools/quantize/build.h"

namespace sluice::cli {

struct BuildOptions {
  std::string in, out;
  int threads = 0;
  bool overwrite = false;

  void declare(CLI::App& app);         // IN and what follows
  void declare_output(CLI::App& app);  // OUT and the flags
  Result<convert::Source> open(
      const Console& console, convert::DamagedDraft damaged = convert::DamagedDraft::kRefuse) const;
  // Cores to use; an error for a number out of range.
  Result<int> cores() const;
  // Disk need, progress, and stopping by Ctrl-C.
  quantize::BuildEvents events(const Console& console) const;
};

void print_report(const Console& console, const quantize::BuildReport& report,
                  const std::string& out);

}  // namespace sluice::cli
