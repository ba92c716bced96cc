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

// Whether the vision tower's file beside a GGUF is read with it.
enum class TowerBeside : uint8_t { kLeave, kOpen };

struct BuildOptions {
  std::string in, out;
  int threads = 0;
  bool overwrite = false;

  void declare(CLI::App& app);         // IN and what follows
  void declare_output(CLI::App& app);  // OUT and the flags
  Result<convert::Source> open(
      const Console& console, TowerBeside tower,
      convert::DamagedDraft damaged = convert::DamagedDraft::kRefuse) const;
  // Cores to use; an error for a number out of range.
  Result<int> cores() const;
  // Disk need, progress, and stopping by Ctrl-C.
  quantize::BuildEvents events(const Console& console) const;
};

// What becomes of the vision tower, for the commands that write either container.
struct VisionOptions {
  bool strip = false;
  std::string type;  // of the tower's file; empty: as it is stored

  void declare(CLI::App& app);
  TowerBeside beside() const { return strip ? TowerBeside::kLeave : TowerBeside::kOpen; }
  // For a GGUF build; refuses a type that has nothing to apply to.
  Status set(quantize::GgufRequest& request) const;
  Status set(quantize::SafetensorsRequest& request) const;
};

void print_report(const Console& console, const quantize::BuildReport& report,
                  const std::string& out);

}  // namespace sluice::cli
