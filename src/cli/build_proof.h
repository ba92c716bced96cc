// The proof that goes into a build's report: result against source on a text.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/console.h"
#include "tools/quantize/report.h"

namespace sluice::cli {

struct ProofOptions {
  std::string text_file;                  // empty: no proof, no gate
  int64_t context = 512, max_tokens = 0;  // 0: the whole text
  int threads = 0;
  std::vector<std::string> accepted;    // gates whose refusal is lifted
  std::vector<std::string> more_gates;  // of the command, beside the draft head's

  void declare(CLI::App& app);
};

// Measures `result` into the report: perplexity of both, divergence from the source, and how many
// greedy drafts of each head hold, by position; both models are loaded at once. Then asks the gate:
// a head that drafts below nine tenths of the source's acceptance at position 1 is dead weight
// (kRefused). Accepted by name, it is a warning and a note in the report.
Status judge(const Console& console, const std::filesystem::path& source,
             const std::filesystem::path& result, const ProofOptions& options,
             quantize::BuildReport& report);

}  // namespace sluice::cli
