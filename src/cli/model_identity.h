// What tells a model's files and this program from all others, without reading every byte.
#pragma once

#include <string>

#include "checkpoint/checkpoint.h"

namespace sluice::cli {

// For what is kept on disk across restarts (runtime::DiskCache): text that differs whenever
// anything could differ in what the model computes. Of the program its version and its file's
// length and date; of each file of the model its length and date, what stands before its first
// tensor, and samples of every tensor; of a folder its config.json. The dates are in it because
// samples cannot show that a single weight was changed: a copy with another date only costs a cold
// cache.
std::string model_identity(const checkpoint::Checkpoint& model);

}  // namespace sluice::cli
