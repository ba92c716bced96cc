// Units of integer activations, without anything of the standard library. Included once for the
// baseline and once for wider instructions, which the compiler then uses: all of it is elementwise
// or in integers, so the bits are the same. Fencing as in integer_product-inl.h.
#pragma once

#include <cstdint>

#include "backend/cpu/product.h"

namespace sluice::cpu {
namespace {

// Adding and subtracting 1.5 * 2^23 rounds to the nearest even integer, and vectorizes on every
// baseline.
constexpr float kRounder = 12582912.0f;

// The bits of the largest magnitude: comparing as integers puts NaN above infinity above all
// numbers.
uint32_t largest_bits(const float* x, int count) {
  uint32_t largest = 0;
  for (int i = 0; i < count; ++i) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x[i]) & 0x7fffffffu;
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

constexpr uint32_t kInfinityBits = 0x7f800000u;

// round(x * levels / largest) as integers in `codes`; returns the scale that undoes it. NaN when a
// value is not finite (the codes are then zeros).
float quantize(const float* x, int count, int levels, int32_t* codes) {
  const uint32_t bits = largest_bits(x, count);
  if (bits == 0 || bits >= kInfinityBits) {
    for (int i = 0; i < count; ++i) codes[i] = 0;
    return bits == 0 ? 0.0f : __builtin_nanf("");
  }
  const float largest = __builtin_bit_cast(float, bits);
  // The inverse of a very small maximum would overflow: lift such values first.
  const float lift = largest < 0x1p-100f ? 0x1p80f : 1.0f;
  const float inverse = static_cast<float>(levels) / (largest * lift);
  for (int i = 0; i < count; ++i) {
    const float scaled = x[i] * lift * inverse;
    codes[i] = static_cast<int32_t>((scaled + kRounder) - kRounder);
  }
  return largest / static_cast<float>(levels);
}

// Everything of the sums but their scales, which must be there. A minimum is multiplied by the
// rounded sum, with one digit times the scale: the order of integer_product-inl.h.
void sum_up(const int32_t* codes, bool digit, ActivationSums& sums) {
  int32_t sums16[16], sums32[8];
  for (int s = 0; s < 16; ++s) {
    int32_t first = 0, second = 0;
    for (int i = 0; i < 16; i += 4) {
      first += codes[16 * s + i] + codes[16 * s + i + 1];
      second += codes[16 * s + i + 2] + codes[16 * s + i + 3];
    }
    const int32_t sum = first + second;
    sums16[s] = sum;
    sums.starts16[s][0] = static_cast<int16_t>(digit ? -32 * first : 0);
    sums.starts16[s][1] = static_cast<int16_t>(digit ? -32 * second : 0);
    sums.minima16[s] = static_cast<float>(sum) * (digit ? sums.scale[s / 2] : 1.0f);
  }
  for (int s = 0; s < 8; ++s) {
    sums32[s] = sums16[2 * s] + sums16[2 * s + 1];
    for (int half = 0; half < 2; ++half) {
      sums.starts32[s][half] =
          static_cast<int16_t>(sums.starts16[2 * s][half] + sums.starts16[2 * s + 1][half]);
    }
    sums.minima32[s] = static_cast<float>(sums32[s]) * (digit ? sums.scale[s] : 1.0f);
  }
  for (int s = 0; s < 16; ++s) sums.offsets16[s] = -128 * sums16[s];
  for (int s = 0; s < 8; ++s) sums.offsets32[s] = -128 * sums32[s];
}

void quantize_wide(const float* x, int32_t* codes, ActivationSums& sums) {
  sums.scale[0] = quantize(x, kIntegerColumns, kLargestCode, codes);
  sum_up(codes, false, sums);
}

void quantize_digits(const float* x, int32_t* codes, ActivationSums& sums) {
  for (int g = 0; g < 8; ++g) {
    sums.scale[g] = quantize(x + kGranule * g, kGranule, 127, codes + kGranule * g);
  }
  sum_up(codes, true, sums);
}

void make_wide(const float* x, WideUnit& unit) {
  int32_t codes[kIntegerColumns];
  quantize_wide(x, codes, unit.sums);
  for (int i = 0; i < kIntegerColumns; ++i) {
    const int32_t high = (codes[i] + 64) >> 7;
    unit.high[i] = static_cast<int8_t>(high);
    unit.low[i] = static_cast<int8_t>(codes[i] - 128 * high);
  }
}

void make_digits(const float* x, DigitUnit& unit) {
  int32_t codes[kIntegerColumns];
  quantize_digits(x, codes, unit.sums);
  for (int i = 0; i < kIntegerColumns; ++i) unit.digits[i] = static_cast<int8_t>(codes[i]);
}

void make_words(const float* x, bool digit, WordUnit& unit) {
  int32_t codes[kIntegerColumns];
  digit ? quantize_digits(x, codes, unit.sums) : quantize_wide(x, codes, unit.sums);
  for (int i = 0; i < kIntegerColumns; i += 4) {
    unit.words[i] = static_cast<int16_t>(codes[i]);
    unit.words[i + 1] = static_cast<int16_t>(codes[i + 2]);
    unit.words[i + 2] = static_cast<int16_t>(codes[i + 1]);
    unit.words[i + 3] = static_cast<int16_t>(codes[i + 3]);
  }
}

// Whether the scales of one digit are all moderate (prepare.h). All at once, and as integers, which
// compare as their floats do: the sign is clear.
bool are_moderate(const float* scales) {
  constexpr auto kLeast = __builtin_bit_cast(int32_t, 0x1p-60f),
                 kMost = __builtin_bit_cast(int32_t, 0x1p60f);
  int32_t outside = 0;
  for (int i = 0; i < 8; ++i) {
    const auto bits = __builtin_bit_cast(int32_t, scales[i]);
    outside |= (int32_t{bits < kLeast} & int32_t{bits != 0}) | int32_t{bits > kMost};
  }
  return outside == 0;
}

// Returns whether the scales are those of one digit, and moderate.
bool make_integers(Prepared form, const float* x, void* unit) {
  if (form == Prepared::kDigit) {
    auto& digits = *static_cast<DigitUnit*>(unit);
    make_digits(x, digits);
    return are_moderate(digits.sums.scale);
  }
  if (form == Prepared::kWide) {
    make_wide(x, *static_cast<WideUnit*>(unit));
  } else {
    make_words(x, form == Prepared::kDigitWords, *static_cast<WordUnit*>(unit));
  }
  return false;
}

}  // namespace
}  // namespace sluice::cpu
