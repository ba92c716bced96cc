#include "backend/cpu/prepare.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>

#include "backend/cpu/prepare_integers-inl.h"

namespace sluice::cpu {
namespace {

// Units below this many are prepared by the caller: waking the pool costs as much.
constexpr int64_t kUnitsAlone = 96;

uint32_t row_largest_bits(const float* x, int64_t columns) {
  uint32_t largest = 0;
  for (int64_t k = 0; k < columns; k += 4096) {
    largest = std::max(largest,
                       largest_bits(x + k, static_cast<int>(std::min<int64_t>(4096, columns - k))));
  }
  return largest;
}

// The power of two that brings a row's maximum to 2^100 .. 2^101: products with codes that stand
// for value * 2^-120 then keep clear of the subnormal range, and sums of overflow. Of rows beyond
// 2^107 to more, because what undoes it must be a float: 2^(120 - exponent).
int scale_exponent(const float* x, int64_t columns) {
  const uint32_t largest = row_largest_bits(x, columns);
  if (largest == 0 || largest >= kInfinityBits) return 0;
  return std::max(100 - std::max(std::ilogb(std::bit_cast<float>(largest)), -27), -7);
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

// Returns what make_integers() does, false for other forms.
bool prepare_unit(Prepared form, [[maybe_unused]] InstructionSet set, const float* x, float factor,
                  std::byte* out) {
  if (form == Prepared::kFloat) {
    std::memcpy(out, x, kFloatColumns * sizeof(float));
  } else if (form == Prepared::kScaledFloat) {
    auto* to = reinterpret_cast<float*>(out);
    for (int i = 0; i < kFloatColumns; ++i) to[i] = x[i] * factor;
  } else if (form == Prepared::kPairs) {
    make_pairs(x, factor, *reinterpret_cast<PairUnit*>(out));
#if defined(__x86_64__)
  } else if (set != InstructionSet::kPortable) {
    return avx2::prepare_integers(form, x, out);
#endif
  } else {
    return make_integers(form, x, out);
  }
  return false;
}

}  // namespace

size_t prepared_bytes(Prepared form, int64_t rows, int64_t columns) {
  const int64_t units = (columns + unit_columns(form) - 1) / unit_columns(form);
  return static_cast<size_t>(units * rows) * unit_bytes(form);
}

bool prepare(Prepared form, InstructionSet set, const RowSpan& span, std::byte* out,
             float* row_factors, ThreadPool& pool) {
  std::atomic<bool> moderate = true;
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
    bool row_moderate = true;
    for (int64_t u = 0; u < units; ++u) {
      std::byte* to = out + static_cast<size_t>(u * span.rows + row) * unit_bytes(form);
      const int64_t left = span.columns - u * width;
      bool unit_moderate = false;
      if (left >= width) {
        unit_moderate = prepare_unit(form, set, x + u * width, factor, to);
      } else {
        float padded[kIntegerColumns] = {};
        std::copy_n(x + u * width, left, padded);
        unit_moderate = prepare_unit(form, set, padded, factor, to);
      }
      row_moderate &= unit_moderate;
    }
    if (!row_moderate) moderate.store(false, std::memory_order_relaxed);
  };
  if (span.rows * units <= kUnitsAlone) {
    for (int64_t row = 0; row < span.rows; ++row) prepare_row(row);
    return moderate;
  }
  pool.for_range(span.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) prepare_row(row);
  });
  return moderate;
}

}  // namespace sluice::cpu
