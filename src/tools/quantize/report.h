// What a build reports of itself: every tensor with its format, size and error, and the proof where
// a text was given. quantization_report.json and README.md are written from this.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "tools/quantize/automatic_report.h"

namespace sluice::quantize {

struct TensorReport {
  std::string name;  // in the build
  std::string format;
  int64_t rows = 0, columns = 0;
  uint64_t bytes = 0;  // codes, scales and tensor scales
  double error = 0;    // |Q(W) - W| / |W| against the source's values
  // |X (Q(W) - W)| / |X W| over a calibration text, where one was read.
  struct OutputError {
    double plain = 0, written = 0;  // every weight rounded by itself; as it is in the build
  };
  std::optional<OutputError> output_error = {};
};

// How weights were rounded, if not each by itself.
struct Calibration {
  std::string method, text;  // "gptq"; the file's name
  uint64_t tokens = 0;
};

// The result against its source on one text (docs/quantization.md).
struct Proof {
  std::string text;  // the file's name
  uint64_t tokens = 0;
  double ppl_before = 0, ppl_after = 0;
  double kld_mean = 0, kld_p99 = 0, kld_p99_9 = 0, same_top = 0;
  std::vector<double> acceptance_before, acceptance_after;  // by draft position; empty: no head
  // Whose head the result's is compared with: the "source"'s, or, where that has none, the
  // "donor"'s on the donor itself.
  std::string drafts_before_of = "source";
};

// The vision tower's own file beside a GGUF. Its tensors are not among those of the build.
struct TowerReport {
  std::string file, format;  // names
  uint64_t parameters = 0, bytes = 0;
  std::vector<TensorReport> tensors;
};

struct BuildReport {
  std::string source, target;  // names; the recipe
  std::string layout;
  uint64_t parameters = 0, bytes = 0;  // of the tensors
  std::vector<TensorReport> tensors;
  std::vector<std::string> notes;  // what was not carried over, and why
  double seconds = 0;
  std::optional<TowerReport> vision;
  std::optional<Calibration> calibration;
  std::optional<Proof> proof;
  std::optional<AutomaticReport> automatic;
  double bits_per_weight() const {
    return parameters > 0 ? 8.0 * static_cast<double>(bytes) / static_cast<double>(parameters) : 0;
  }
};

// Said while a build is written: tensors done and in all, and the one at hand. Returns false to
// stop.
using Progress = std::function<bool(size_t done, size_t total, const std::string& name)>;

// What the caller hears of a build while it is made, and may do; all may be empty.
struct BuildEvents {
  std::function<void(uint64_t bytes)> announce;         // before anything is written
  std::function<void(const std::string& line)> notice;  // what became of an earlier run's tensors
  Progress progress;
  // The written model before it gets its name, to be measured; an error leaves nothing behind.
  std::function<Status(const std::filesystem::path& model, BuildReport& report)> judge;
};

// The error of a build that `progress` or a signal has stopped: what is done stays for the next
// run.
Error interrupted(const std::string& what);

Json report_json(const BuildReport& report);
// What a file beside the weights is called in this build: of a lone x.gguf "README.md" is
// "x.README.md".
using NameBeside = std::function<std::string(const std::string& name)>;
// The model card. Numbers only; nothing that changes from run to run.
std::string model_card(const BuildReport& report, const NameBeside& named);
// A table for people: formats with their counts, sizes and errors.
std::string report_text(const BuildReport& report);

// Writes report, card and pictures into `folder`.
Status write_report(const BuildReport& report, const std::filesystem::path& folder,
                    const NameBeside& named);

}  // namespace sluice::quantize
