// Rotary tables: inverse frequencies with the reference's own roundings, plain and YaRN.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "ops/backend.h"

namespace sluice::model {

// YaRN as transformers' rope utilities define it (config keys of the same names).
struct YarnParameters {
  double factor = 1.0;          // > 0
  double original_context = 0;  // original_max_position_embeddings
  std::optional<double> attention_factor = {};
  double beta_fast = 32, beta_slow = 1;
  std::optional<double> mscale = {}, mscale_all_dim = {};
  bool truncate = true;  // round the correction range to whole dimensions
};

struct RotaryParameters {
  double theta = 0;
  int64_t dims = 0;                             // rotated dimensions of a head, even
  std::array<int64_t, 3> sections{11, 11, 10};  // t, h, w pairs; interleaved (architecture.md 4.5)
  std::optional<YarnParameters> yarn = {};
};

// The default table has three float32 roundings (architecture.md 4.5); a table rounded once is off
// by an ulp in half of its values, which shows from position 10^4 on. YaRN continues from the same
// float32 powers with one rounding per operation, in the reference's order.
Result<ops::RotaryTable> make_rotary_table(const RotaryParameters& parameters);

}  // namespace sluice::model
