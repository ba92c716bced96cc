#include "codec/ggml_search.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace sluice::codec {
namespace {

constexpr size_t kMaxBlock = 32;  // elements of the longest block searched

// The element of largest magnitude, the first of equals, with its sign.
float extreme(std::span<const float> x) {
  float found = 0, magnitude = 0;
  for (const float value : x) {
    if (std::fabs(value) > magnitude) {
      magnitude = std::fabs(value);
      found = value;
    }
  }
  return found;
}

// What the affine search needs to know of a block before it begins. Sums start with the first
// element, not with 0.
struct Extent {
  float low, high, sum_w, sum_x;  // low is at most 0; sum_x is weighted
};

Extent extent_of(std::span<const float> x, std::span<const float> weights) {
  Extent extent{x[0], x[0], weights[0], weights[0] * x[0]};
  for (size_t i = 1; i < x.size(); ++i) {
    extent.low = std::min(extent.low, x[i]);
    extent.high = std::max(extent.high, x[i]);
    extent.sum_w += weights[i];
    extent.sum_x += weights[i] * x[i];
  }
  if (extent.low > 0) extent.low = 0;
  return extent;
}

// Weighted error of scale * code + low, absolute or squared.
float affine_error(const AffineSearch& search, std::span<const float> x,
                   std::span<const float> weights, float scale, float low, const uint8_t* codes) {
  float error = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const float difference = scale * static_cast<float>(codes[i]) + low - x[i];
    error += weights[i] * (search.absolute_error ? std::fabs(difference) : difference * difference);
  }
  return error;
}

}  // namespace

AffineFit affine_search(const AffineSearch& search, std::span<const float> x,
                        std::span<const float> weights, uint8_t* codes) {
  const size_t n = x.size();
  SLUICE_CHECK(n <= kMaxBlock && weights.size() == n, "{} elements, {} weights", n, weights.size());
  const auto [low, high, sum_w, sum_x] = extent_of(x, weights);
  if (search.equal_only ? high == low : high <= low) {
    std::fill_n(codes, n, uint8_t{0});
    return {0, -low};
  }
  const auto most = static_cast<float>(search.most);
  float minimum = low, inverse = most / (high - low);
  float scale = 1 / inverse;
  for (size_t i = 0; i < n; ++i) {
    codes[i] = static_cast<uint8_t>(round_to_int(inverse * (x[i] - minimum), 0, search.most));
  }
  float best = affine_error(search, x, weights, scale, minimum, codes);

  std::array<uint8_t, kMaxBlock> trial;
  for (int k = 0; k <= search.steps; ++k) {
    inverse = (search.first + search.step * static_cast<float>(k) + most) / (high - minimum);
    float sum_l = 0, sum_l2 = 0, sum_xl = 0;
    for (size_t i = 0; i < n; ++i) {
      const int l = round_to_int(inverse * (x[i] - minimum), 0, search.most);
      const float w = weights[i], code = static_cast<float>(l);
      trial[i] = static_cast<uint8_t>(l);
      sum_l += w * code;
      sum_l2 += w * code * code;
      sum_xl += w * code * x[i];
    }
    const float determinant = sum_w * sum_l2 - sum_l * sum_l;
    if (!(determinant > 0)) continue;
    float trial_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
    float trial_minimum = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
    if (trial_minimum > 0) {
      trial_minimum = 0;
      trial_scale = sum_xl / sum_l2;
    }
    const float error = affine_error(search, x, weights, trial_scale, trial_minimum, trial.data());
    if (error < best) {
      std::copy_n(trial.data(), n, codes);
      best = error;
      scale = trial_scale;
      minimum = trial_minimum;  // later ranges start at the better minimum
    }
  }
  return {scale, -minimum};
}

float symmetric_search(std::span<const float> x, std::span<const float> weights, int most,
                       int8_t* codes) {
  const size_t n = x.size();
  const float peak = extreme(x);
  if (std::fabs(peak) < kGroupEpsilon) {
    std::fill_n(codes, n, int8_t{0});
    return 0;
  }
  struct Sums {
    float xl = 0, l2 = 0;
  };
  const auto sums_at = [&](float inverse) {
    Sums sums;
    for (size_t i = 0; i < n; ++i) {
      const auto code = static_cast<float>(round_to_int(inverse * x[i], -most, most - 1));
      sums.xl += weights[i] * x[i] * code;
      sums.l2 += weights[i] * code * code;
    }
    return sums;
  };
  const auto take = [&](float inverse) {
    for (size_t i = 0; i < n; ++i) {
      codes[i] = static_cast<int8_t>(most + round_to_int(inverse * x[i], -most, most - 1));
    }
  };
  float inverse = static_cast<float>(-most) / peak;
  Sums sums = sums_at(inverse);
  take(inverse);
  float scale = sums.l2 != 0 ? sums.xl / sums.l2 : 0.0f;
  float best = scale * sums.xl;
  for (int k = -9; k <= 9; ++k) {
    if (k == 0) continue;
    inverse = -(static_cast<float>(most) + 0.1f * static_cast<float>(k)) / peak;
    sums = sums_at(inverse);
    if (sums.l2 > 0 && sums.xl * sums.xl > best * sums.l2) {
      take(inverse);
      scale = sums.xl / sums.l2;
      best = scale * sums.xl;
    }
  }
  return scale;
}

float symmetric_descent(std::span<const float> x, int most, int8_t* codes) {
  const size_t n = x.size();
  const float peak = extreme(x);
  if (std::fabs(peak) < kGroupEpsilon) {
    std::fill_n(codes, n, int8_t{0});
    return 0;
  }
  const float inverse = static_cast<float>(-most) / peak;
  float sum_xl = 0, sum_l2 = 0;
  for (size_t i = 0; i < n; ++i) {
    const int l = round_to_int(inverse * x[i], -most, most - 1);
    const float w = x[i] * x[i], code = static_cast<float>(l);
    codes[i] = static_cast<int8_t>(l);
    sum_xl += w * x[i] * code;
    sum_l2 += w * code * code;
  }
  for (int pass = 0; pass < 5; ++pass) {
    bool changed = false;
    for (size_t i = 0; i < n; ++i) {
      const float w = x[i] * x[i], code = codes[i];
      float rest_xl = sum_xl - w * x[i] * code;
      if (!(rest_xl > 0)) continue;
      float rest_l2 = sum_l2 - w * code * code;
      const int l = round_to_int(x[i] * rest_l2 / rest_xl, -most, most - 1);
      if (l == codes[i]) continue;
      const auto other = static_cast<float>(l);
      rest_xl += w * x[i] * other;
      rest_l2 += w * other * other;
      if (rest_l2 > 0 && rest_xl * rest_xl * sum_l2 > sum_xl * sum_xl * rest_l2) {
        codes[i] = static_cast<int8_t>(l);
        sum_xl = rest_xl;
        sum_l2 = rest_l2;
        changed = true;
      }
    }
    if (!changed) break;
  }
  for (size_t i = 0; i < n; ++i) codes[i] = static_cast<int8_t>(codes[i] + most);
  return sum_l2 > 0 ? sum_xl / sum_l2 : 0.0f;
}

namespace {

// The inverse scale with the smallest weighted squared error among nine near most / peak.
float best_inverse(std::span<const float> x, std::span<const float> weights, int most, float peak) {
  const auto limit = static_cast<float>(most);
  const auto error_at = [&](float inverse) {
    const float scale = 1 / inverse;
    float error = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const auto code = static_cast<float>(std::min(most, round_to_int(inverse * x[i])));
      const float difference = x[i] - scale * code;
      error += weights[i] * difference * difference;
    }
    return error;
  };
  float found = limit / peak;
  float best = error_at(found);
  for (int k = -4; k <= 4; ++k) {
    if (k == 0) continue;
    const float trial = (0.1f * static_cast<float>(k) + limit) / peak;
    const float error = error_at(trial);
    if (error < best) {
      best = error;
      found = trial;
    }
  }
  return found;
}

}  // namespace

float positive_search(std::span<const float> x, std::span<const float> weights, int most,
                      uint8_t* codes) {
  const size_t n = x.size();
  const float peak = *std::max_element(x.begin(), x.end());
  if (peak < kGroupEpsilon) {
    std::fill_n(codes, n, uint8_t{0});
    return 0;
  }
  const auto code_at = [&](float value) { return std::min(most, round_to_int(value)); };
  const float inverse = best_inverse(x, weights, most, peak);
  float sum_xl = 0, sum_l2 = 0;
  for (size_t i = 0; i < n; ++i) {
    const int l = code_at(inverse * x[i]);
    const auto code = static_cast<float>(l);
    codes[i] = static_cast<uint8_t>(l);
    sum_xl += weights[i] * x[i] * code;
    sum_l2 += weights[i] * code * code;
  }
  for (int pass = 0; pass < 5; ++pass) {
    bool changed = false;
    for (size_t i = 0; i < n; ++i) {
      const float w = weights[i], code = codes[i];
      float rest_xl = sum_xl - w * x[i] * code, rest_l2 = sum_l2 - w * code * code;
      if (!(rest_xl > 0) || !(rest_l2 > 0)) continue;
      const int l = code_at(x[i] * rest_l2 / rest_xl);
      if (l == codes[i]) continue;
      const auto other = static_cast<float>(l);
      rest_xl += w * x[i] * other;
      rest_l2 += w * other * other;
      if (rest_xl * rest_xl * sum_l2 > sum_xl * sum_xl * rest_l2) {
        codes[i] = static_cast<uint8_t>(l);
        sum_xl = rest_xl;
        sum_l2 = rest_l2;
        changed = true;
      }
    }
    if (!changed) break;
  }
  return sum_l2 > 0 ? sum_xl / sum_l2 : 0.0f;
}

}  // namespace sluice::codec
