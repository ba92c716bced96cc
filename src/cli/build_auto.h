// --auto and --auto-kld: formats chosen by what each costs on a text.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/threads.h"
#include "cli/build_proof.h"
#include "cli/console.h"
#include "tools/convert/source.h"
#include "tools/quantize/build.h"

namespace sluice::cli {

// "18GB", "16GiB", "500M", "123456": bytes. Suffixes of 1000 (K, M, G, T, with or without B) or of
// 1024 (KiB, MiB, GiB, TiB), any case.
Result<uint64_t> parse_bytes(std::string_view text, const std::string& flag);

inline constexpr const char* kDivergenceGate = "auto-kld";

struct AutoOptions {
  std::string bytes, text_file;  // as given; the text is that of the proof if empty
  std::optional<double> divergence;
  int64_t max_tokens = 1024;

  void declare(CLI::App& app);
  bool on() const { return !bytes.empty() || divergence.has_value(); }
  // Flags that do not go together; on() must hold.
  Status check(const ProofOptions& proof) const;
};

// Measures on the text and writes the choice into `request`. The source and one probe are loaded in
// turn; the source's distributions of the scored tokens wait in a file beside OUT. What that takes
// is said before the first is loaded, and refused if it is not there (4).
Status choose_formats(const Console& console, const convert::Source& source,
                      const AutoOptions& options, const ProofOptions& proof, ThreadPool& pool,
                      quantize::BuildRequest& request);

// The gate of --auto-kld: the measured divergence of the written build against what was asked for.
Status check_divergence(const Console& console, const AutoOptions& options,
                        const ProofOptions& proof, quantize::BuildReport& report);

}  // namespace sluice::cli
