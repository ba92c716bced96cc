// Scalar functions and sums that several operations share, in double.
#pragma once

#include <cmath>
#include <cstdint>

namespace sluice::ref {

inline double dot(const float* a, const float* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += double{a[i]} * double{b[i]};
  return sum;
}

inline double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
inline double silu(double x) { return x / (1.0 + std::exp(-x)); }

// ln(1 + e^x), the identity above 20 (architecture.md 4.6).
inline double softplus(double x) { return x > 20.0 ? x : std::log1p(std::exp(x)); }

// 1 / sqrt(mean(x^2) + eps): the factor of every RMS norm.
inline double rms_factor(const float* x, int64_t count, double eps) {
  return 1.0 / std::sqrt(dot(x, x, count) / static_cast<double>(count) + eps);
}

}  // namespace sluice::ref
