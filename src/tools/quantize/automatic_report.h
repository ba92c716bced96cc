// What an automatic choice of formats reports: a row per part of the model, and the sums that it
// was made by.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace sluice::quantize {

// Modules that move together: "layers.3.mlp.gate_proj+up_proj".
struct ChosenPart {
  std::string name;
  std::string format;
  uint64_t parameters = 0, bytes = 0;
  double loss = 0;        // what its format adds to the divergence, estimated
  double loss_small = 0;  // what its smallest format would add
};

struct AutomaticReport {
  std::string text;                 // the file that the divergence was measured on
  uint64_t tokens = 0, probes = 0;  // scored; models that were run
  std::optional<uint64_t> most_bytes;
  std::optional<double> most_divergence;
  uint64_t file_bytes = 0;  // of the weights' files, headers included
  double divergence = 0;    // estimated, of the whole build
  double gap = 0;           // Allocation::gap
  std::vector<ChosenPart> parts;
};

Json automatic_json(const AutomaticReport& report);
// A table for people, and the same for the model card.
std::string automatic_text(const AutomaticReport& report);
std::string automatic_card(const AutomaticReport& report);

}  // namespace sluice::quantize
