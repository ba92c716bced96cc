// Sixteen lanes in two 256-bit registers, rows 0-7 and 8-15 of a group.
// Included by the files of this folder only (see integer_product-inl.h).
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "backend/cpu/product.h"

#define SLUICE_INLINE static inline __attribute__((always_inline))
// Loops over registers: of constant length, at most 16, and only fast when
// gone.
#if defined(__clang__)
#define SLUICE_UNROLL _Pragma("unroll")
#else
#define SLUICE_UNROLL _Pragma("GCC unroll 16")
#endif

namespace sluice::cpu {
namespace {

struct Codes {
  __m256i low, high;
};
struct Ints {
  __m256i low, high;
};
struct Floats {
  __m256 low, high;
};

struct Avx2Lanes {
  // Rows that are multiplied with both granules of a pair at once: one takes
  // eight registers.
  static constexpr int kPairRows = 1;
  // A line is two registers, which share each broadcast. Twelve sums, a line
  // and two temporaries are the sixteen registers.
  static constexpr int kTileGroups = 1;
  template <int kDigits>
  static constexpr int tile_rows() {
    return 6 / kDigits;
  }
  // 16-bit products of two columns are as fast as two digits of bytes, need no
  // joining, and are the only ones for signed codes, whose byte products would
  // saturate.
  static constexpr bool kWords = true, kSignedBytes = false;
  static constexpr int64_t kWordsFrom = 3, kDirectWords = 4;
  static constexpr int64_t direct_bytes(bool digit) { return digit ? 4 : 2; }
  static constexpr bool kOffsetFirst = false;
  // Sums of bytes stay in 16 bits until they are widened, by the product with their scale where
  // that is an integer; with an offset they start at its part.
  static constexpr bool kSums16 = true;
  // A sum starts as its first products instead of zero.
  static constexpr bool kStartsWithProducts = true;
  // Products of pairs that 16 bits hold: spec/cpu-kernels-avx2.md 2.3, with
  // digits in +-127.
  static constexpr int kNibbleChain = 8, kFiveChain = 4, kSixChain = 2;
  // Float codes: rows whose results stay in registers; a tile's rows, up to how many of them the
  // sums of even and odd columns are made at once, and its groups. Twelve sums, a column and a
  // broadcast are fifteen registers. Decoding again for every tile goes on beside the products.
  static constexpr int kFloatDirectRows = 1;
  static constexpr int kFloatTileRows = 6, kFloatBothRows = 3, kFloatGroups = 1;
  static constexpr bool kFloatPanels = false;
  // VPMADDUBSW would saturate on codes above 127: signed codes go through their
  // absolute values.
  static constexpr int kSignedOffsetShift = -1;

  // Biased exponents of moderate scales: with ProductCall::moderate, sums keep within a float's
  // range with their power of two and without.
  static constexpr int kLeastExponent = 127 - 40, kMostExponent = 127 + 40;

  SLUICE_INLINE float power_of_two(int biased_exponent) {
    const int32_t bits = biased_exponent << 23;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  SLUICE_INLINE int smallest_byte(__m128i bytes) {
    const __m128i words = _mm_min_epu8(bytes, _mm_srli_epi16(bytes, 8));
    return _mm_cvtsi128_si32(_mm_minpos_epu16(_mm_and_si128(words, _mm_set1_epi16(0xff)))) & 0xff;
  }
  SLUICE_INLINE int largest_byte(__m128i bytes) {
    return 255 - smallest_byte(_mm_xor_si128(bytes, _mm_set1_epi8(-1)));
  }
  SLUICE_INLINE int32_t load_dword(const uint8_t* bytes) {
    int32_t value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
  }
  SLUICE_INLINE __m256i load_half(const uint8_t* bytes) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
  }

  SLUICE_INLINE Codes load_line(const uint8_t* line) {
    return {load_half(line), load_half(line + 32)};
  }
  SLUICE_INLINE void store_line(uint8_t* line, Codes codes) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(line), codes.low);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(line + 32), codes.high);
  }
  SLUICE_INLINE Codes signed_line(const uint8_t* line) { return load_line(line); }
  SLUICE_INLINE Codes and_mask(Codes codes, int mask) {
    const __m256i m = _mm256_set1_epi8(static_cast<char>(mask));
    return {_mm256_and_si256(codes.low, m), _mm256_and_si256(codes.high, m)};
  }
  SLUICE_INLINE Codes or_bits(Codes a, Codes b) {
    return {_mm256_or_si256(a.low, b.low), _mm256_or_si256(a.high, b.high)};
  }
  // Bits cross the bytes of a word: callers mask.
  template <int kBits>
  SLUICE_INLINE Codes shift_right(Codes codes) {
    return {_mm256_srli_epi16(codes.low, kBits), _mm256_srli_epi16(codes.high, kBits)};
  }
  template <int kBits>
  SLUICE_INLINE Codes shift_left(Codes codes) {
    return {_mm256_slli_epi16(codes.low, kBits), _mm256_slli_epi16(codes.high, kBits)};
  }
  SLUICE_INLINE Codes shift_right_by(Codes codes, int bits) {
    const __m128i count = _mm_cvtsi32_si128(bits);
    return {_mm256_srl_epi16(codes.low, count), _mm256_srl_epi16(codes.high, count)};
  }
  SLUICE_INLINE Codes load_table(const int8_t* table) {
    const __m256i both =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
    return {both, both};
  }
  SLUICE_INLINE Codes lookup(Codes table, Codes nibbles) {
    return {_mm256_shuffle_epi8(table.low, nibbles.low),
            _mm256_shuffle_epi8(table.high, nibbles.high)};
  }

  SLUICE_INLINE Ints zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  // Sums of unsigned codes stay in 16 bits until widen(). One statement of
  // assembly for broadcast, products and sums: left alone, GCC 12 moves the
  // products ahead of the sums and runs out of registers
  // (spec/cpu-kernels-avx2.md 4.2).
  template <bool kSigned>
  SLUICE_INLINE void add_products(Ints& sums, Codes codes, const uint8_t* activation) {
    static_assert(!kSigned, "read as words");
    add_tile_products<Product::kUnsigned>(sums, codes, activation);
  }
  template <Product kProduct>
  SLUICE_INLINE void add_tile_products(Ints& sums, Codes codes, const uint8_t* activation) {
    using Dword = int32_t __attribute__((may_alias, aligned(1)));
    const auto& a = *reinterpret_cast<const Dword*>(activation);
    __m256i first, second;
    if constexpr (kProduct == Product::kWords) {
      asm("vpbroadcastd %[a], %[second]\n\t"
          "vpmaddwd %[second], %[codes_low], %[first]\n\t"
          "vpmaddwd %[second], %[codes_high], %[second]\n\t"
          "vpaddd %[first], %[low], %[low]\n\t"
          "vpaddd %[second], %[high], %[high]"
          :
          [low] "+x"(sums.low), [high] "+x"(sums.high), [first] "=&x"(first), [second] "=&x"(second)
          : [a] "m"(a), [codes_low] "x"(codes.low), [codes_high] "x"(codes.high));
    } else {
      static_assert(kProduct == Product::kUnsigned, "signed codes are read as words");
      asm("vpbroadcastd %[a], %[second]\n\t"
          "vpmaddubsw %[second], %[codes_low], %[first]\n\t"
          "vpmaddubsw %[second], %[codes_high], %[second]\n\t"
          "vpaddw %[first], %[low], %[low]\n\t"
          "vpaddw %[second], %[high], %[high]"
          :
          [low] "+x"(sums.low), [high] "+x"(sums.high), [first] "=&x"(first), [second] "=&x"(second)
          : [a] "m"(a), [codes_low] "x"(codes.low), [codes_high] "x"(codes.high));
    }
  }
  // The first products of a sum, in the sum's own registers: neither zero nor addition.
  template <Product kProduct>
  SLUICE_INLINE Ints tile_products(Codes codes, const uint8_t* activation) {
    using Dword = int32_t __attribute__((may_alias, aligned(1)));
    const auto& a = *reinterpret_cast<const Dword*>(activation);
    Ints sums;
    if constexpr (kProduct == Product::kWords) {
      asm("vpbroadcastd %[a], %[high]\n\t"
          "vpmaddwd %[high], %[codes_low], %[low]\n\t"
          "vpmaddwd %[high], %[codes_high], %[high]"
          : [low] "=&x"(sums.low), [high] "=&x"(sums.high)
          : [a] "m"(a), [codes_low] "x"(codes.low), [codes_high] "x"(codes.high));
    } else {
      static_assert(kProduct == Product::kUnsigned, "signed codes are read as words");
      asm("vpbroadcastd %[a], %[high]\n\t"
          "vpmaddubsw %[high], %[codes_low], %[low]\n\t"
          "vpmaddubsw %[high], %[codes_high], %[high]"
          : [low] "=&x"(sums.low), [high] "=&x"(sums.high)
          : [a] "m"(a), [codes_low] "x"(codes.low), [codes_high] "x"(codes.high));
    }
    return sums;
  }
  template <bool kWide>
  SLUICE_INLINE Ints widen(Ints sums) {
    if constexpr (kWide) return sums;
    const __m256i ones = _mm256_set1_epi16(1);
    return {_mm256_madd_epi16(sums.low, ones), _mm256_madd_epi16(sums.high, ones)};
  }
  // Sums in 16 bits, widened by the product with their scale.
  SLUICE_INLINE Ints multiply_pairs(Ints sums, const int32_t* pairs) {
    const auto* scales = reinterpret_cast<const uint8_t*>(pairs);
    return {_mm256_madd_epi16(sums.low, load_half(scales)),
            _mm256_madd_epi16(sums.high, load_half(scales + 32))};
  }
  // Sixteen bytes with sign, each as the two words of a dword.
  SLUICE_INLINE void store_pairs(int32_t* pairs, const uint8_t* bytes) {
    const __m256i both =
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
    // Each byte to the upper halves of its dword's words, which sign extends from there.
    const __m256i low = _mm256_set_epi32(0x07800780, 0x06800680, 0x05800580, 0x04800480, 0x03800380,
                                         0x02800280, 0x01800180, 0x00800080),
                  high = _mm256_add_epi8(low, _mm256_set1_epi16(0x0800));
    _mm256_store_si256(reinterpret_cast<__m256i*>(pairs),
                       _mm256_srai_epi16(_mm256_shuffle_epi8(both, low), 8));
    _mm256_store_si256(reinterpret_cast<__m256i*>(pairs + 8),
                       _mm256_srai_epi16(_mm256_shuffle_epi8(both, high), 8));
  }
  // Scales as integers of 15 bits, each as the two words of a dword, times `shared`, a power of
  // two; false where one loses bits. `codes` [groups][16].
  SLUICE_INLINE bool store_ue4m3_pairs(int32_t (*pairs)[kGroupRows], const uint8_t* codes,
                                       int groups, float& shared) {
    __m128i largest = _mm_setzero_si128(), least = _mm_set1_epi8(-1);  // of code - 1: none for zero
    for (int s = 0; s < groups; ++s) {
      const __m128i line = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + 16 * s));
      largest = _mm_max_epu8(largest, line);
      least = _mm_min_epu8(least, _mm_sub_epi8(line, _mm_set1_epi8(1)));
    }
    // Integers in units of 2^-9 up to 60 = 15 * 2^2; each power of two beyond loses a bit, which
    // only codes of as large an exponent do not have.
    const int most = largest_byte(largest), lost = most < 0x68 ? 0 : (most >> 3) - 12;
    if (most > 0x7f || (lost > 0 && smallest_byte(least) + 1 < 8 * (lost + 1))) return false;
    // An integer of four bits and a power of two times 65537 is exact in a float.
    shared = power_of_two(127 - 9 + lost);
    const __m256 factor = _mm256_set1_ps(65537.0f * power_of_two(127 + 9 - lost));
    for (int s = 0; s < groups; ++s) {
      for (int half = 0; half < 2; ++half) {
        const __m256 scales = from_ue4m3_half(codes + 16 * s + 8 * half);
        _mm256_store_si256(reinterpret_cast<__m256i*>(pairs[s] + 8 * half),
                           _mm256_cvtps_epi32(_mm256_mul_ps(scales, factor)));
      }
    }
    return true;
  }
  SLUICE_INLINE bool store_e8m0_pairs(int32_t (*pairs)[kGroupRows], const uint8_t* codes,
                                      int groups, float& shared) {
    __m128i largest = _mm_setzero_si128(), least = _mm_set1_epi8(-1);
    for (int s = 0; s < groups; ++s) {
      const __m128i line = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + 16 * s));
      largest = _mm_max_epu8(largest, line);
      least = _mm_min_epu8(least, line);
    }
    const int most = largest_byte(largest), fewest = smallest_byte(least);
    if (most - fewest > 14 || fewest < kLeastExponent || most > kMostExponent) return false;
    for (int s = 0; s < groups; ++s) {
      for (int half = 0; half < 2; ++half) {
        const __m256i shifts =
            _mm256_sub_epi32(bytes_to_dwords(codes + 16 * s + 8 * half), _mm256_set1_epi32(fewest));
        _mm256_store_si256(reinterpret_cast<__m256i*>(pairs[s] + 8 * half),
                           _mm256_sllv_epi32(_mm256_set1_epi32(65537), shifts));
      }
    }
    shared = power_of_two(fewest);
    return true;
  }
  SLUICE_INLINE bool store_bf16_pairs(int32_t (*pairs)[kGroupRows], const uint8_t* halves,
                                      int groups, float& shared) {
    __m256i largest = _mm256_setzero_si256();  // magnitudes compare as integers
    for (int s = 0; s < groups; ++s) {
      const __m256i magnitudes =
          _mm256_and_si256(load_half(halves + 32 * s), _mm256_set1_epi16(0x7fff));
      largest = _mm256_max_epu16(largest, magnitudes);
    }
    const __m128i most =
        _mm_max_epu16(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
    const __m128i inverse = _mm_xor_si128(most, _mm_set1_epi16(-1));
    const int exponent = (0xffff - (_mm_cvtsi128_si32(_mm_minpos_epu16(inverse)) & 0xffff)) >> 7;
    if (exponent < kLeastExponent || exponent > kMostExponent) return false;
    shared = power_of_two(exponent - 14);
    const __m256 factor = _mm256_set1_ps(power_of_two(2 * 127 + 14 - exponent));
    __m256 equal = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
    for (int s = 0; s < groups; ++s) {
      for (int half = 0; half < 2; ++half) {
        const __m256 scaled = _mm256_mul_ps(from_bf16_half(halves + 32 * s + 16 * half), factor);
        const __m256i whole = _mm256_cvtps_epi32(scaled);
        equal = _mm256_and_ps(equal, _mm256_cmp_ps(scaled, _mm256_cvtepi32_ps(whole), _CMP_EQ_OQ));
        _mm256_store_si256(reinterpret_cast<__m256i*>(pairs[s] + 8 * half),
                           _mm256_blend_epi16(whole, _mm256_slli_epi32(whole, 16), 0xaa));
      }
    }
    return _mm256_movemask_ps(equal) == 0xff;
  }
  SLUICE_INLINE Ints add_ints(Ints a, Ints b) {
    return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
  }
  // A line of bytes less kOffset as two of words: columns 0 and 2 of every
  // four, then 1 and 3. Bytes without sign save a shift.
  template <bool kSigned, int kOffset>
  SLUICE_INLINE void split_words(Codes (&parts)[2]) {
    const Codes bytes = parts[0];
    if constexpr (kSigned) {
      static_assert(kOffset == 0, "signed bytes are as they are");
      parts[0] = {_mm256_srai_epi16(_mm256_slli_epi16(bytes.low, 8), 8),
                  _mm256_srai_epi16(_mm256_slli_epi16(bytes.high, 8), 8)};
      parts[1] = {_mm256_srai_epi16(bytes.low, 8), _mm256_srai_epi16(bytes.high, 8)};
    } else {
      const __m256i even = _mm256_set1_epi16(0xff);
      parts[0] = {_mm256_and_si256(bytes.low, even), _mm256_and_si256(bytes.high, even)};
      parts[1] = shift_right<8>(bytes);
      if constexpr (kOffset != 0) {
        const __m256i offset = _mm256_set1_epi16(kOffset);
        for (Codes& words : parts) {
          words = {_mm256_sub_epi16(words.low, offset), _mm256_sub_epi16(words.high, offset)};
        }
      }
    }
  }
  SLUICE_INLINE Ints join_digits(Ints high, Ints low) {
    return {_mm256_add_epi32(_mm256_slli_epi32(high.low, 7), low.low),
            _mm256_add_epi32(_mm256_slli_epi32(high.high, 7), low.high)};
  }
  template <int kShift>
  SLUICE_INLINE Ints broadcast_shifted(const uint8_t* value) {
    const __m256i whole = _mm256_set1_epi32(load_dword(value));
    const __m256i shifted = kShift == 0 ? whole : _mm256_srai_epi32(whole, kShift);
    return {shifted, shifted};
  }

  SLUICE_INLINE Floats to_float(Ints values) {
    return {_mm256_cvtepi32_ps(values.low), _mm256_cvtepi32_ps(values.high)};
  }
  SLUICE_INLINE Floats broadcast(float value) {
    return {_mm256_set1_ps(value), _mm256_set1_ps(value)};
  }
  SLUICE_INLINE Floats broadcast_load(const uint8_t* value) {
    float number;
    std::memcpy(&number, value, sizeof number);
    return broadcast(number);
  }
  SLUICE_INLINE Floats load(const float* values) {
    return {_mm256_load_ps(values), _mm256_load_ps(values + 8)};
  }
  SLUICE_INLINE void store(float* values, Floats lanes) {
    _mm256_store_ps(values, lanes.low);
    _mm256_store_ps(values + 8, lanes.high);
  }
  SLUICE_INLINE void store_unaligned(float* values, Floats lanes) {
    _mm256_storeu_ps(values, lanes.low);
    _mm256_storeu_ps(values + 8, lanes.high);
  }
  SLUICE_INLINE Floats add(Floats a, Floats b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
  }
  SLUICE_INLINE Floats multiply(Floats a, Floats b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
  }
  SLUICE_INLINE Floats fma(Floats a, Floats b, Floats c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  // Adds the columns times an activation. In assembly for the same reason as add_tile_products().
  SLUICE_INLINE void add_scaled(Floats (&sums)[1], const Floats (&columns)[1],
                                const float* activation) {
    __m256 a;
    asm("vbroadcastss %[activation], %[a]\n\t"
        "vfmadd231ps %[a], %[column_low], %[low]\n\t"
        "vfmadd231ps %[a], %[column_high], %[high]"
        : [low] "+x"(sums[0].low), [high] "+x"(sums[0].high), [a] "=&x"(a)
        : [activation] "m"(*activation), [column_low] "x"(columns[0].low),
          [column_high] "x"(columns[0].high));
  }
  SLUICE_INLINE Floats fnma(Floats a, Floats b, Floats c) {
    return {_mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high)};
  }

  SLUICE_INLINE __m256i bytes_to_dwords(const uint8_t* bytes) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
  }
  SLUICE_INLINE Floats from_u8(const uint8_t* bytes) {
    return {_mm256_cvtepi32_ps(bytes_to_dwords(bytes)),
            _mm256_cvtepi32_ps(bytes_to_dwords(bytes + 8))};
  }
  SLUICE_INLINE __m256 from_i8_half(const uint8_t* bytes) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes))));
  }
  SLUICE_INLINE Floats from_i8(const uint8_t* bytes) {
    return {from_i8_half(bytes), from_i8_half(bytes + 8)};
  }
  SLUICE_INLINE __m256 from_f16_half(const uint8_t* halves) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves)));
  }
  SLUICE_INLINE Floats from_f16(const uint8_t* halves) {
    return {from_f16_half(halves), from_f16_half(halves + 16)};
  }
  SLUICE_INLINE __m256 from_bf16_half(const uint8_t* halves) {
    const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(halves));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
  }
  SLUICE_INLINE Floats from_bf16(const uint8_t* halves) {
    return {from_bf16_half(halves), from_bf16_half(halves + 16)};
  }
  SLUICE_INLINE Floats from_f32(const uint8_t* floats) {
    return {_mm256_loadu_ps(reinterpret_cast<const float*>(floats)),
            _mm256_loadu_ps(reinterpret_cast<const float*>(floats + 32))};
  }
  // The code's bits placed as a float are its value times 2^-120. The product
  // is exact also for subnormal codes; the fused form avoids a slow
  // multiplication of denormals (spec/cpu-kernels-avx2.md 1.2).
  SLUICE_INLINE __m256 from_ue4m3_half(const uint8_t* codes) {
    const __m256i bits = _mm256_slli_epi32(bytes_to_dwords(codes), 20);
    return _mm256_fmadd_ps(_mm256_castsi256_ps(bits), _mm256_set1_ps(0x1p120f),
                           _mm256_setzero_ps());
  }
  SLUICE_INLINE Floats from_ue4m3(const uint8_t* codes) {
    return {from_ue4m3_half(codes), from_ue4m3_half(codes + 8)};
  }
  SLUICE_INLINE __m256 from_e8m0_half(const uint8_t* codes) {
    const __m256i exponents = bytes_to_dwords(codes);
    const __m256i zero = _mm256_cmpeq_epi32(exponents, _mm256_setzero_si256());
    const __m256i denormal = _mm256_and_si256(zero, _mm256_set1_epi32(0x00400000));
    return _mm256_castsi256_ps(_mm256_or_si256(_mm256_slli_epi32(exponents, 23), denormal));
  }
  SLUICE_INLINE Floats from_e8m0(const uint8_t* codes) {
    return {from_e8m0_half(codes), from_e8m0_half(codes + 8)};
  }

  SLUICE_INLINE void from_bf16_line(const uint8_t* line, Floats* columns) {
    const Codes pairs = load_line(line);
    const __m256i mask = _mm256_set1_epi32(-65536);
    columns[0] = {_mm256_castsi256_ps(_mm256_slli_epi32(pairs.low, 16)),
                  _mm256_castsi256_ps(_mm256_slli_epi32(pairs.high, 16))};
    columns[1] = {_mm256_castsi256_ps(_mm256_and_si256(pairs.low, mask)),
                  _mm256_castsi256_ps(_mm256_and_si256(pairs.high, mask))};
  }
  template <int kColumn>
  SLUICE_INLINE Floats from_bf16_column(const uint8_t* line) {
    const Codes pairs = load_line(line);
    if constexpr (kColumn == 0) {
      return {_mm256_castsi256_ps(_mm256_slli_epi32(pairs.low, 16)),
              _mm256_castsi256_ps(_mm256_slli_epi32(pairs.high, 16))};
    }
    const __m256i mask = _mm256_set1_epi32(-65536);
    return {_mm256_castsi256_ps(_mm256_and_si256(pairs.low, mask)),
            _mm256_castsi256_ps(_mm256_and_si256(pairs.high, mask))};
  }
  // In assembly with its load, which would otherwise occupy registers until the line's next column.
  template <int kColumn>
  SLUICE_INLINE __m256 e4m3_half_column(const uint8_t* half, __m256i mask) {
    using Half = long long __attribute__((vector_size(32), may_alias, aligned(1)));
    const auto& quads = *reinterpret_cast<const Half*>(half);
    __m256 column;
    if constexpr (kColumn < 3) {
      asm("vmovdqu %[quads], %[column]\n\t"
          "vpslld %[left], %[column], %[column]\n\t"
          "vpsrad $4, %[column], %[column]\n\t"
          "vpand %[mask], %[column], %[column]"
          : [column] "=&x"(column)
          : [quads] "m"(quads), [left] "i"(24 - 8 * kColumn), [mask] "xm"(mask));
    } else {
      asm("vmovdqu %[quads], %[column]\n\t"
          "vpsrad $4, %[column], %[column]\n\t"
          "vpand %[mask], %[column], %[column]"
          : [column] "=&x"(column)
          : [quads] "m"(quads), [mask] "xm"(mask));
    }
    return column;
  }
  // As from_e4m3_line(), one column of the four.
  template <int kColumn>
  SLUICE_INLINE Floats from_e4m3_column(const uint8_t* line) {
    const __m256i mask = _mm256_set1_epi32(static_cast<int>(0x87F00000u));
    return {e4m3_half_column<kColumn>(line, mask), e4m3_half_column<kColumn>(line + 32, mask)};
  }
  // Values times 2^-120, subnormal codes as denormal floats (the activations
  // carry the inverse).
  SLUICE_INLINE void from_e4m3_line(const uint8_t* line, Floats* columns) {
    const __m256i mask = _mm256_set1_epi32(static_cast<int>(0x87F087F0u));
    const __m256i top = _mm256_set1_epi32(-65536);
    const Codes quads = load_line(line);
    const Ints odd = {_mm256_and_si256(_mm256_srai_epi16(quads.low, 4), mask),
                      _mm256_and_si256(_mm256_srai_epi16(quads.high, 4), mask)};
    const Ints even = {
        _mm256_and_si256(_mm256_srai_epi16(_mm256_slli_epi16(quads.low, 8), 4), mask),
        _mm256_and_si256(_mm256_srai_epi16(_mm256_slli_epi16(quads.high, 8), 4), mask)};
    columns[0] = {_mm256_castsi256_ps(_mm256_slli_epi32(even.low, 16)),
                  _mm256_castsi256_ps(_mm256_slli_epi32(even.high, 16))};
    columns[1] = {_mm256_castsi256_ps(_mm256_slli_epi32(odd.low, 16)),
                  _mm256_castsi256_ps(_mm256_slli_epi32(odd.high, 16))};
    columns[2] = {_mm256_castsi256_ps(_mm256_and_si256(even.low, top)),
                  _mm256_castsi256_ps(_mm256_and_si256(even.high, top))};
    columns[3] = {_mm256_castsi256_ps(_mm256_and_si256(odd.low, top)),
                  _mm256_castsi256_ps(_mm256_and_si256(odd.high, top))};
  }
};

}  // namespace
}  // namespace sluice::cpu
