// The delta rule in double together with how far an implementation in narrower arithmetic may be
// from it: first-order bounds, carried along the recurrence from the magnitudes of its terms.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/backend.h"

namespace sluice::ops::testing {

struct DeltaInputs {
  std::vector<float> query, key, value, beta, g;  // as GdnDeltaArgs, dense
};

// Unit keys and scaled unit queries, as gdn_input makes them; beta in (0, 1), g in (-1.5, 0).
DeltaInputs random_delta_inputs(const RecurrentSpec& spec, int64_t rows, uint64_t seed);

struct DeltaBounds {
  std::vector<double> out, out_bound;      // [rows, value_width]
  std::vector<double> state, state_bound;  // [value_heads, key_dim, value_dim], after the last row
};

// `unit`: relative error of one operation; `term_error`: on top, that of one term of a sum. The
// state is F32 after every row.
DeltaBounds sequential_bounds(const RecurrentSpec& spec, const std::vector<float>& state,
                              const DeltaInputs& in, int64_t rows, double unit, double term_error);

// The values are again those of the sequential rule, which the chunked rule equals; the bounds are
// those of its triangular solve, for chunks on the grid, the state in F32 between them.
DeltaBounds chunked_bounds(const RecurrentSpec& spec, const std::vector<float>& state,
                           const DeltaInputs& in, int64_t rows, int64_t first_index, double unit,
                           double term_error);

}  // namespace sluice::ops::testing
