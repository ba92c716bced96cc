// The proof that goes into a build's report: result against source on a text.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/console.h"
#include "tools/quantize/report.h"

namespace sluice::cli {

struct ProofOptions {
  std::string text_file;                  // empty: no proof, no gate
  int64_t context = 512, max_tokens = 0;  // 0: the whole text
  std::optional<uint64_t> memory;         // for the models; nothing: what is free
  int threads = 0;
  std::vector<std::string> accepted;    // gates whose refusal is lifted
  std::vector<std::string> more_gates;  // of the command, beside the draft head's

  void declare(CLI::App& app);
  bool on() const { return !text_file.empty(); }
};

class BuildProof {
 public:
  // Reads the text and plans the memory of the source, so that what cannot work is refused before a
  // build is begun. `donor`: of a grafted head, the model that it was made for. Errors: the text's,
  // a model that does not fit (4).
  static Result<std::unique_ptr<BuildProof>> open(const Console& console,
                                                  const std::filesystem::path& source,
                                                  const ProofOptions& options,
                                                  const std::filesystem::path& donor = {});
  ~BuildProof();

  // Measures `result` into the report: perplexity of both, divergence from the source, and how many
  // greedy drafts of each head hold, by position. Both models are loaded at once where memory holds
  // them; else the source's distributions wait in a file while the result is loaded, with the same
  // figures, bit by bit. Then asks the gate: a head that drafts below nine tenths of the source's
  // acceptance at position 1 is dead weight (kRefused); where the source has none, of the donor's
  // on the donor. Accepted by name, it is a warning and a note in the report. Once per object.
  Status judge(const std::filesystem::path& result, quantize::BuildReport& report);

 private:
  BuildProof();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::cli
