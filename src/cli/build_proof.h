// The proof that goes into a build's report: result against source on a text.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "cli/console.h"
#include "tools/quantize/report.h"

namespace sluice::cli {

struct ProofOptions {
  std::string text_file;
  int64_t context = 512, max_tokens = 0;  // 0: the whole text
  int threads = 0;
};

// Loads both models at once. Perplexity of each, divergence of the result from the source, and how
// many greedy drafts of each head hold, by position.
Result<quantize::Proof> prove(const Console& console, const std::filesystem::path& source,
                              const std::filesystem::path& result, const ProofOptions& options);

// A head that drafts below nine tenths of the source's acceptance at position 1 is dead weight.
Status check_draft_gate(const quantize::Proof& proof);
inline constexpr const char* kDraftGate = "draft-acceptance";

}  // namespace sluice::cli
