// The gated delta rule of one value head (architecture.md 4.6), in its two forms.
//
// The state S [key_dim, value_dim] is F32 between steps and between chunks; inside a step or a
// chunk everything is double.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "ops/backend.h"

namespace sluice::ref {

// What one token brings to one value head. `query` and `out` are unused where only the state
// matters.
struct DeltaRow {
  const float* query = nullptr;  // [key_dim], normalized and scaled
  const float* key = nullptr;    // [key_dim], normalized
  const float* value = nullptr;  // [value_dim]
  float beta = 0, g = 0;
  float* out = nullptr;  // [value_dim]
};

// The key head that a value head reads.
inline int64_t key_head_of(const ops::RecurrentSpec& spec, int64_t value_head) {
  return spec.head_order == ops::HeadOrder::kGrouped
             ? value_head / (spec.value_heads / spec.key_heads)
             : value_head % spec.key_heads;
}

// S^T x: out[c] = sum over r of state[r][c] * x[r], ascending.
inline std::vector<double> read_state(const float* state, const float* x, int64_t key_dim,
                                      int64_t value_dim) {
  std::vector<double> out(static_cast<size_t>(value_dim));
  for (int64_t r = 0; r < key_dim; ++r) {
    for (int64_t c = 0; c < value_dim; ++c) {
      out[static_cast<size_t>(c)] += double{state[r * value_dim + c]} * double{x[r]};
    }
  }
  return out;
}

// One token of the sequential rule. The only definition of it: a row computed as pending, applied
// later from the stash, or decoded alone goes through these lines, which is why the three are
// bit-equal.
inline void delta_step(float* state, int64_t key_dim, int64_t value_dim, const DeltaRow& row) {
  const double decay = std::exp(double{row.g});
  std::vector<double> change = read_state(state, row.key, key_dim, value_dim);
  for (int64_t c = 0; c < value_dim; ++c) {
    double& d = change[static_cast<size_t>(c)];
    d = row.beta * (row.value[c] - decay * d);
  }
  for (int64_t r = 0; r < key_dim; ++r) {
    for (int64_t c = 0; c < value_dim; ++c) {
      float& s = state[r * value_dim + c];
      s = static_cast<float>(decay * s + row.key[r] * change[static_cast<size_t>(c)]);
    }
  }
  if (row.out == nullptr) return;
  const std::vector<double> read = read_state(state, row.query, key_dim, value_dim);
  for (int64_t c = 0; c < value_dim; ++c) {
    row.out[c] = static_cast<float>(read[static_cast<size_t>(c)]);
  }
}

// The rows of one chunk by the chunked rule; writes the state after the last of them. A row's
// output depends on the state at entry and on earlier rows, never on later ones, so a partial chunk
// has the bits of the full one.
void delta_chunk(float* state, int64_t key_dim, int64_t value_dim, std::span<const DeltaRow> rows);

}  // namespace sluice::ref
