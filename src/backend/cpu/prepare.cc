#include "backend/cpu/prepare.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace sluice::cpu {
namespace {

// Adding and subtracting 1.5 * 2^23 rounds to the nearest even integer, and vectorizes on every
// baseline.
constexpr float kRounder = 12582912.0f;

// Units below this many are prepared by the caller: waking the pool costs as much.
constexpr int64_t kUnitsAlone = 96;

// The bits of the largest magnitude: comparing as integers puts NaN above infinity above all
// numbers.
uint32_t largest_bits(const float* x, int count) {
  uint32_t largest = 0;
  for (int i = 0; i < count; ++i) {
    largest = std::max(largest, std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu);
  }
  return largest;
}

constexpr uint32_t kInfinityBits = 0x7f800000u;

// round(x * levels / largest) as integers in `codes`; returns the scale that undoes it. NaN when a
// value is not finite (the codes are then zeros).
float quantize(const float* x, int count, int levels, int32_t* codes) {
  const uint32_t bits = largest_bits(x, count);
  if (bits == 0 || bits >= kInfinityBits) {
    std::fill_n(codes, count, 0);
    return bits == 0 ? 0.0f : std::numeric_limits<float>::quiet_NaN();
  }
  const float largest = std::bit_cast<float>(bits);
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
  for (int s = 0; s < 16; ++s) {
    int32_t sum = 0;
    for (int i = 0; i < 16; ++i) sum += codes[16 * s + i];
    sums.sums16[s] = sum;
    sums.minima16[s] = static_cast<float>(sum) * (digit ? sums.scale[s / 2] : 1.0f);
  }
  for (int s = 0; s < 8; ++s) {
    sums.sums32[s] = sums.sums16[2 * s] + sums.sums16[2 * s + 1];
    sums.minima32[s] = static_cast<float>(sums.sums32[s]) * (digit ? sums.scale[s] : 1.0f);
  }
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

uint32_t row_largest_bits(const float* x, int64_t columns) {
  uint32_t largest = 0;
  for (int64_t k = 0; k < columns; k += 4096) {
    largest = std::max(largest,
                       largest_bits(x + k, static_cast<int>(std::min<int64_t>(4096, columns - k))));
  }
  return largest;
}

// The power of two that brings a row's maximum to 2^100 .. 2^101: products with codes that stand
// for value * 2^-120 then keep clear of the subnormal range, and sums of overflow.
int scale_exponent(const float* x, int64_t columns) {
  const uint32_t largest = row_largest_bits(x, columns);
  if (largest == 0 || largest >= kInfinityBits) return 0;
  return 100 - std::max(std::ilogb(std::bit_cast<float>(largest)), -27);
}

// The power of two that brings a row's maximum to 1 .. 2, as far as it is a normal float.
int unit_exponent(const float* x, int64_t columns) {
  const uint32_t largest = row_largest_bits(x, columns);
  if (largest == 0 || largest >= kInfinityBits) return 0;
  return -std::clamp(std::ilogb(std::bit_cast<float>(largest)), -100, 100);
}

// To nearest even; a NaN stays one.
uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > kInfinityBits) return 0x7fc0;
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// An infinity leaves a NaN in the lower part, and so in the result.
void make_pairs(const float* x, float factor, PairUnit& unit) {
  for (int i = 0; i < kFloatColumns; ++i) {
    const float value = x[i] * factor;
    unit.high[i] = to_bf16(value);
    unit.low[i] = to_bf16(value - std::bit_cast<float>(uint32_t{unit.high[i]} << 16));
  }
}

int64_t unit_columns(Prepared form) {
  const bool is_float =
      form == Prepared::kFloat || form == Prepared::kScaledFloat || form == Prepared::kPairs;
  return is_float ? kFloatColumns : kIntegerColumns;
}

size_t unit_bytes(Prepared form) {
  if (form == Prepared::kWide) return sizeof(WideUnit);
  if (form == Prepared::kDigit) return sizeof(DigitUnit);
  if (form == Prepared::kWideWords || form == Prepared::kDigitWords) return sizeof(WordUnit);
  if (form == Prepared::kPairs) return sizeof(PairUnit);
  return kFloatColumns * sizeof(float);
}

void prepare_unit(Prepared form, const float* x, float factor, std::byte* out) {
  switch (form) {
    case Prepared::kWide:
      return make_wide(x, *reinterpret_cast<WideUnit*>(out));
    case Prepared::kDigit:
      return make_digits(x, *reinterpret_cast<DigitUnit*>(out));
    case Prepared::kWideWords:
    case Prepared::kDigitWords:
      return make_words(x, form == Prepared::kDigitWords, *reinterpret_cast<WordUnit*>(out));
    case Prepared::kFloat:
      std::memcpy(out, x, kFloatColumns * sizeof(float));
      return;
    case Prepared::kScaledFloat: {
      auto* to = reinterpret_cast<float*>(out);
      for (int i = 0; i < kFloatColumns; ++i) to[i] = x[i] * factor;
      return;
    }
    case Prepared::kPairs:
      return make_pairs(x, factor, *reinterpret_cast<PairUnit*>(out));
  }
}

}  // namespace

size_t prepared_bytes(Prepared form, int64_t rows, int64_t columns) {
  const int64_t units = (columns + unit_columns(form) - 1) / unit_columns(form);
  return static_cast<size_t>(units * rows) * unit_bytes(form);
}

void prepare(Prepared form, const RowSpan& span, std::byte* out, float* row_factors,
             ThreadPool& pool) {
  const int64_t width = unit_columns(form), units = (span.columns + width - 1) / width;
  const auto prepare_row = [&](int64_t row) {
    const float* x = span.x + row * span.stride;
    float factor = 1.0f;
    row_factors[row] = 1.0f;
    if (form == Prepared::kScaledFloat) {
      const int exponent = scale_exponent(x, span.columns);
      factor = std::ldexp(1.0f, exponent);
      row_factors[row] = std::ldexp(1.0f, 120 - exponent);
    } else if (form == Prepared::kPairs) {
      const int exponent = unit_exponent(x, span.columns);
      factor = std::ldexp(1.0f, exponent);
      row_factors[row] = std::ldexp(1.0f, -exponent);
    }
    for (int64_t u = 0; u < units; ++u) {
      std::byte* to = out + static_cast<size_t>(u * span.rows + row) * unit_bytes(form);
      const int64_t left = span.columns - u * width;
      if (left >= width) {
        prepare_unit(form, x + u * width, factor, to);
      } else {
        float padded[kIntegerColumns] = {};
        std::copy_n(x + u * width, left, padded);
        prepare_unit(form, padded, factor, to);
      }
    }
  };
  if (span.rows * units <= kUnitsAlone) {
    for (int64_t row = 0; row < span.rows; ++row) prepare_row(row);
    return;
  }
  pool.for_range(span.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) prepare_row(row);
  });
}

}  // namespace sluice::cpu
