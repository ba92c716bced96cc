#include "codec/ggml_search.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace sluice::codec {
namespace {

// What the affine search needs to know of a block before it begins. Sums start with the first
// element, not with 0.
struct Extents {
  Lanes low, high, sum_w, sum_x;  // low is at most 0; sum_x is weighted
};

Extents extents_of(const SearchBlocks& blocks) {
  const auto& [width, x, weights] = blocks;
  Extents extents{x[0], x[0], weights[0], weights[0] * x[0]};
  for (size_t i = 1; i < width; ++i) {
    extents.low = x[i] < extents.low ? x[i] : extents.low;
    extents.high = x[i] > extents.high ? x[i] : extents.high;
    extents.sum_w += weights[i];
    extents.sum_x += weights[i] * x[i];
  }
  extents.low = extents.low > 0.0f ? all_lanes(0) : extents.low;
  return extents;
}

using TrialCodes = std::array<Lanes, kMaxSearchBlock>;  // whole numbers

// Weighted error of scale * code + low, absolute or squared.
template <bool kAbsolute>
Lanes affine_errors(const SearchBlocks& blocks, Lanes scale, Lanes low, const TrialCodes& codes) {
  Lanes error{};
  for (size_t i = 0; i < blocks.width; ++i) {
    const Lanes difference = scale * codes[i] + low - blocks.x[i];
    error += blocks.weights[i] * (kAbsolute ? magnitudes(difference) : difference * difference);
  }
  return error;
}

template <bool kAbsolute>
AffineFits search_affine(const AffineSearch& search, const SearchBlocks& blocks, uint8_t* codes) {
  const auto& [width, x, weights] = blocks;
  const auto [low, high, sum_w, sum_x] = extents_of(blocks);
  const LaneBits flat = search.equal_only ? high == low : high <= low;
  const Lanes zero{}, most = all_lanes(static_cast<float>(search.most));
  Lanes minimum = low, inverse = most / (high - low), scale = 1.0f / inverse;
  // Where the codes of the best trial come from; they are made again at the end.
  Lanes best_inverse = inverse, best_start = minimum;
  TrialCodes trial;
  for (size_t i = 0; i < width; ++i)
    trial[i] = nearest_within(inverse * (x[i] - minimum), zero, most);
  Lanes best = affine_errors<kAbsolute>(blocks, scale, minimum, trial);

  for (int k = 0; k <= search.steps; ++k) {
    const float codes_wide =
        search.first + search.step * static_cast<float>(k) + static_cast<float>(search.most);
    inverse = codes_wide / (high - minimum);
    Lanes sum_l{}, sum_l2{}, sum_xl{};
    for (size_t i = 0; i < width; ++i) {
      const Lanes code = nearest_within(inverse * (x[i] - minimum), zero, most);
      const Lanes weighted = weights[i] * code;
      trial[i] = code;
      sum_l += weighted;
      sum_l2 += weighted * code;
      sum_xl += weighted * x[i];
    }
    const Lanes determinant = sum_w * sum_l2 - sum_l * sum_l;
    Lanes trial_scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
    Lanes trial_minimum = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
    const LaneBits above = trial_minimum > 0.0f;
    trial_minimum = above ? zero : trial_minimum;
    trial_scale = above ? sum_xl / sum_l2 : trial_scale;
    const Lanes error = affine_errors<kAbsolute>(blocks, trial_scale, trial_minimum, trial);
    const LaneBits better = (determinant > 0.0f) & (error < best);
    best = better ? error : best;
    best_inverse = better ? inverse : best_inverse;
    best_start = better ? minimum : best_start;
    scale = better ? trial_scale : scale;
    minimum = better ? trial_minimum : minimum;  // later ranges start at the better minimum
  }
  for (size_t i = 0; i < width; ++i) {
    const Lanes code = nearest_within(best_inverse * (x[i] - best_start), zero, most);
    store_codes(flat ? zero : code, codes + i, width);
  }
  return {flat ? zero : scale, -(flat ? low : minimum)};
}

}  // namespace

void SearchBlocks::take(std::span<const float> blocks, size_t count) {
  SLUICE_CHECK(count > 0 && count <= kLanes && blocks.size() % count == 0,
               "{} elements in {} blocks", blocks.size(), count);
  width = blocks.size() / count;
  SLUICE_CHECK(width <= kMaxSearchBlock, "blocks of {}", width);
  for (size_t i = 0; i < width; ++i) {
    Lanes element{};
    for (size_t lane = 0; lane < count; ++lane) element[lane] = blocks[lane * width + i];
    x[i] = element;
  }
}

void SearchBlocks::weigh(std::span<const float> importance, size_t count, Lanes variance) {
  SLUICE_CHECK(count <= kLanes && importance.size() == count * width,
               "{} weights in {} blocks of {}", importance.size(), count, width);
  for (size_t i = 0; i < width; ++i) {
    Lanes column{};
    for (size_t lane = 0; lane < count; ++lane) column[lane] = importance[lane * width + i];
    weights[i] = column * square_roots(variance + x[i] * x[i]);
  }
}

Lanes extremes(const SearchBlocks& blocks) {
  Lanes found{}, magnitude{};
  for (size_t i = 0; i < blocks.width; ++i) {
    const Lanes candidate = magnitudes(blocks.x[i]);
    const LaneBits larger = candidate > magnitude;
    magnitude = larger ? candidate : magnitude;
    found = larger ? blocks.x[i] : found;
  }
  return found;
}

AffineFits affine_search(const AffineSearch& search, const SearchBlocks& blocks, uint8_t* codes) {
  return search.absolute_error ? search_affine<true>(search, blocks, codes)
                               : search_affine<false>(search, blocks, codes);
}

Lanes symmetric_search(const SearchBlocks& blocks, int most, uint8_t* codes) {
  const Lanes zero{}, half = all_lanes(static_cast<float>(most));
  const Lanes peak = extremes(blocks);
  const LaneBits nothing = magnitudes(peak) < kGroupEpsilon;
  struct Sums {
    Lanes xl, l2;
  };
  const auto sums_at = [&](Lanes inverse) {
    Sums sums{};
    for (size_t i = 0; i < blocks.width; ++i) {
      const Lanes code = nearest_within(inverse * blocks.x[i], -half, half - 1.0f);
      sums.xl += blocks.weights[i] * blocks.x[i] * code;
      sums.l2 += blocks.weights[i] * code * code;
    }
    return sums;
  };
  Lanes best_inverse = -half / peak;
  Sums sums = sums_at(best_inverse);
  Lanes scale = sums.l2 != 0.0f ? sums.xl / sums.l2 : zero;
  Lanes best = scale * sums.xl;
  for (int k = -9; k <= 9; ++k) {
    if (k == 0) continue;
    const Lanes inverse = -(static_cast<float>(most) + 0.1f * static_cast<float>(k)) / peak;
    sums = sums_at(inverse);
    const LaneBits better = (sums.l2 > 0.0f) & (sums.xl * sums.xl > best * sums.l2);
    best_inverse = better ? inverse : best_inverse;
    scale = better ? sums.xl / sums.l2 : scale;
    best = better ? scale * sums.xl : best;
  }
  for (size_t i = 0; i < blocks.width; ++i) {
    const Lanes code = nearest_within(best_inverse * blocks.x[i], -half, half - 1.0f) + half;
    store_codes(nothing ? zero : code, codes + i, blocks.width);
  }
  return nothing ? zero : scale;
}

float symmetric_descent(std::span<const float> x, int most, int8_t* codes) {
  const size_t n = x.size();
  float peak = 0;
  for (const float value : x) {
    if (std::fabs(value) > std::fabs(peak)) peak = value;
  }
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
