// Gathered statistics as the files that quantizers read.
#pragma once

#include <string>

#include "checkpoint/imatrix_writer.h"
#include "model/binding.h"
#include "tools/calibrate/inputs.h"
#include "tools/quantize/activation_ranges.h"

namespace sluice::calibrate {

// Under the names and in the order of columns of GGUF files, whatever the model's own are. `head`:
// also for the matrix that makes the logits, for which llama.cpp's tool gathers nothing by default.
// Dataset and chunks are left to the caller.
checkpoint::ImportanceRecord importance(const model::Binding& binding, bool draft, bool head,
                                        const Statistics& statistics);

// By canonical module. What was always zero, or too small or large for a scale, has no range.
quantize::ActivationRanges ranges(const model::Binding& binding, bool draft,
                                  const Statistics& statistics);

}  // namespace sluice::calibrate
