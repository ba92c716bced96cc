// What an importance matrix says of one weight: its entry, of the right length, in the order of
// columns that a build wants.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "checkpoint/imatrix.h"
#include "tools/convert/source.h"

namespace sluice::quantize {

// The entry under the weight's GGUF name, with value heads in the order of GGUF files; empty if
// there is no matrix or nothing was collected for this weight. `file` is named in errors: an entry
// of another length than the weight's columns belongs to another model.
Result<std::span<const float>> importance_of(const checkpoint::ImportanceMatrix* matrix,
                                             const std::string& file,
                                             const convert::SourceWeight& weight,
                                             const model::TextConfig& config);

// The same values with value heads in the order of published checkpoints.
std::vector<float> in_published_order(std::span<const float> importance,
                                      const convert::SourceWeight& weight,
                                      const model::TextConfig& config);

}  // namespace sluice::quantize
