#include "backend/ref/delta_rule.h"

#include "backend/ref/scalar.h"

namespace sluice::ref {

// With N_i the change that row i makes (the `d` of the recurrence), architecture.md 4.6 solves
// (I + A) U = diag(beta) V and (I + A) W = diag(beta e^gamma) K and takes N = U - W S. The
// substitution is linear, so N itself is solved for here:
//   N_i = beta_i (v_i - e^gamma_i S^T k_i) - sum_{j<i} A_ij N_j.
void delta_chunk(float* state, int64_t key_dim, int64_t value_dim, std::span<const DeltaRow> rows) {
  const size_t count = rows.size(), width = static_cast<size_t>(value_dim);
  std::vector<double> gamma(count);  // inclusive sums of g
  std::vector<std::vector<double>> change(count);
  for (size_t i = 0; i < count; ++i) {
    const DeltaRow& row = rows[i];
    gamma[i] = (i == 0 ? 0.0 : gamma[i - 1]) + row.g;
    const double decay = std::exp(gamma[i]);

    change[i] = read_state(state, row.key, key_dim, value_dim);
    for (size_t c = 0; c < width; ++c) {
      change[i][c] = row.beta * (row.value[c] - decay * change[i][c]);
    }
    for (size_t j = 0; j < i; ++j) {
      const double a =
          row.beta * dot(row.key, rows[j].key, key_dim) * std::exp(gamma[i] - gamma[j]);
      for (size_t c = 0; c < width; ++c) change[i][c] -= a * change[j][c];
    }

    std::vector<double> out = read_state(state, row.query, key_dim, value_dim);
    for (double& o : out) o *= decay;
    for (size_t j = 0; j <= i; ++j) {
      const double p = dot(row.query, rows[j].key, key_dim) * std::exp(gamma[i] - gamma[j]);
      for (size_t c = 0; c < width; ++c) out[c] += p * change[j][c];
    }
    for (size_t c = 0; c < width; ++c) row.out[c] = static_cast<float>(out[c]);
  }
  if (count == 0) return;

  const double entry = std::exp(gamma[count - 1]);
  std::vector<double> decay(count);  // from row i to the end of the chunk
  for (size_t i = 0; i < count; ++i) decay[i] = std::exp(gamma[count - 1] - gamma[i]);
  for (int64_t r = 0; r < key_dim; ++r) {
    for (size_t c = 0; c < width; ++c) {
      float& s = state[static_cast<size_t>(r) * width + c];
      double sum = entry * s;
      for (size_t i = 0; i < count; ++i) sum += decay[i] * rows[i].key[r] * change[i][c];
      s = static_cast<float>(sum);
    }
  }
}

}  // namespace sluice::ref
