// A format for each part of a model under a limit of bytes or of divergence, by measured
// sensitivity (docs/decisions/formats-under-a-budget.md).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "base/threads.h"
#include "tensor/matrix.h"
#include "tools/convert/source.h"
#include "tools/quantize/automatic_report.h"
#include "tools/quantize/build.h"

namespace sluice::quantize {

// One of the two.
struct AutomaticLimit {
  std::optional<uint64_t> bytes;     // of the weights' files, headers included
  std::optional<double> divergence;  // mean, estimated
};

// Matrices that stand in for the source's own, by role (model::BoundWeight).
using ReplacedMatrices = std::map<std::string, EncodedMatrix>;

// What the caller does for the probes; all but `measure` may be empty.
struct Probing {
  // Once, before the first: which matrices each will replace, with formats and shapes but no bytes.
  std::function<Status(std::span<const ReplacedMatrices> probes)> plan;
  // The mean divergence of the source with these matrices on a text of the caller's.
  std::function<Result<double>(const ReplacedMatrices& replaced)> measure;
  // Said before each of `total`; false stops.
  std::function<bool(size_t done, size_t total)> progress;
};

// Chooses among the formats of the family that `request` names and writes the choice into it. Parts
// are what engines fuse; the embedding of a GGUF and an untied head are parts as well, the draft
// head is none. Errors: a family of one format, or a limit that no choice keeps, with the figure
// (kUsage).
Result<AutomaticReport> choose_formats(const convert::Source& source, BuildRequest& request,
                                       const AutomaticLimit& limit, const Probing& probing,
                                       ThreadPool& pool);

}  // namespace sluice::quantize
