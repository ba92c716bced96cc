// How `quantize` rounds: the flags of --method, and the run of the source model that compensation
// of errors learns from.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "cli/console.h"
#include "tools/quantize/compensation_source.h"

namespace sluice::cli {

struct CompensationOptions {
  std::string method = "plain", text_file;
  int64_t context = 2048;
  std::optional<int64_t> max_tokens;
  std::optional<uint64_t> memory;

  void declare(CLI::App& app);
  bool compensates() const { return method == "gptq"; }
  // Flags that belong together, before a file is opened.
  Status check() const;
  // Reads the text and plans the runs; the model is loaded once a build asks. `draft`: matrices of
  // the draft head will be asked for as well. Errors: the text's, a model that does not fit (4).
  Result<std::unique_ptr<quantize::CompensationSource>> open(const Console& console,
                                                             const std::filesystem::path& source,
                                                             int threads, bool draft) const;
};

}  // namespace sluice::cli
