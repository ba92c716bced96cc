// Sixteen lanes in one 512-bit register. Included by the files of this folder only (see
// integer_product-inl.h).
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "backend/cpu/product.h"

#define SLUICE_INLINE static inline __attribute__((always_inline))
// Loops over registers: of constant length, at most 16, and only fast when gone.
#if defined(__clang__)
#define SLUICE_UNROLL _Pragma("unroll")
#else
#define SLUICE_UNROLL _Pragma("GCC unroll 16")
#endif

namespace sluice::cpu {
namespace {

using Codes = __m512i;
using Ints = __m512i;
using Floats = __m512;

struct Lanes {
  // Rows that are multiplied with both granules of a pair at once.
  static constexpr int kPairRows = 2;
  // A tile of 4 rows by 2 groups: 16 sums of two digits, 8 totals, 2 lines and a broadcast stay in
  // registers. With one digit 6 rows have 12 sums and 12 totals.
  static constexpr int kTileGroups = 2;
  template <int kDigits>
  static constexpr int tile_rows() {
    return kDigits == 2 ? 4 : 6;
  }
  // 16-bit products of two columns are as fast as two digits of bytes and need no joining, but a
  // panel twice as large: no gain at any number of rows.
  static constexpr bool kWords = false, kSignedBytes = true;
  static constexpr int64_t kWordsFrom = 0, kDirectWords = 0;
  static constexpr int64_t direct_bytes(bool digit) { return digit ? 6 : 4; }  // one tile
  static constexpr bool kOffsetFirst = true;  // the offset's part is where the sums start
  static constexpr bool kSums16 = false, kStartsWithProducts = false;
  static constexpr int kNibbleChain = 8, kFiveChain = 8, kSixChain = 8;
  // Float codes: rows whose results stay in registers; a tile's rows, up to how many of them the
  // sums of even and odd columns are made at once, and its groups, which share each broadcast.
  // Decoding again for every tile goes on beside the products.
  static constexpr int kFloatDirectRows = 1;
  static constexpr int kFloatTileRows = 12, kFloatBothRows = 6, kFloatGroups = 2;
  static constexpr bool kFloatPanels = false;
  // VPDPBUSD takes unsigned weights: signed codes are kept with an offset of 128.
  static constexpr int kSignedOffsetShift = 7;

  SLUICE_INLINE int32_t load_dword(const uint8_t* bytes) {
    int32_t value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
  }

  SLUICE_INLINE Codes load_line(const uint8_t* line) { return _mm512_load_si512(line); }
  SLUICE_INLINE void store_line(uint8_t* line, Codes codes) { _mm512_store_si512(line, codes); }
  SLUICE_INLINE Codes signed_line(const uint8_t* line) {
    return _mm512_xor_si512(load_line(line), _mm512_set1_epi8(-128));
  }
  SLUICE_INLINE Codes and_mask(Codes codes, int mask) {
    return _mm512_and_si512(codes, _mm512_set1_epi8(static_cast<char>(mask)));
  }
  SLUICE_INLINE Codes or_bits(Codes a, Codes b) { return _mm512_or_si512(a, b); }
  SLUICE_INLINE Codes add_bytes(Codes codes, int value) {
    return _mm512_add_epi8(codes, _mm512_set1_epi8(static_cast<char>(value)));
  }
  // Bits cross the bytes of a word: callers mask.
  template <int kBits>
  SLUICE_INLINE Codes shift_right(Codes codes) {
    return _mm512_srli_epi16(codes, kBits);
  }
  template <int kBits>
  SLUICE_INLINE Codes shift_left(Codes codes) {
    return _mm512_slli_epi16(codes, kBits);
  }
  SLUICE_INLINE Codes shift_right_by(Codes codes, int bits) {
    return _mm512_srl_epi16(codes, _mm_cvtsi32_si128(bits));
  }
  SLUICE_INLINE Codes load_table(const int8_t* table) {
    const __m128i biased = _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)),
                                         _mm_set1_epi8(-128));
    return _mm512_broadcast_i32x4(biased);
  }
  SLUICE_INLINE Codes lookup(Codes table, Codes nibbles) {
    return _mm512_shuffle_epi8(table, nibbles);
  }

  SLUICE_INLINE Ints zero() { return _mm512_setzero_si512(); }
#if defined(__AVX512VNNI__)
  template <bool kSigned>
  SLUICE_INLINE void add_products(Ints& sums, Codes codes, const uint8_t* activation) {
    sums = _mm512_dpbusd_epi32(sums, codes, _mm512_set1_epi32(load_dword(activation)));
  }
  template <Product kProduct>
  SLUICE_INLINE void add_tile_products(Ints& first, Codes first_codes, Ints& second,
                                       Codes second_codes, const uint8_t* activation) {
    const __m512i a = _mm512_set1_epi32(load_dword(activation));
    first = _mm512_dpbusd_epi32(first, first_codes, a);
    second = _mm512_dpbusd_epi32(second, second_codes, a);
  }
#endif
  template <bool kSigned>
  SLUICE_INLINE Ints widen(Ints sums) {
    return sums;
  }
  SLUICE_INLINE Ints add_ints(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
  SLUICE_INLINE Ints join_digits(Ints high, Ints low) {
    return _mm512_add_epi32(_mm512_slli_epi32(high, 7), low);
  }
  template <int kShift>
  SLUICE_INLINE Ints broadcast_shifted(const uint8_t* value) {
    const __m512i whole = _mm512_set1_epi32(load_dword(value));
    return kShift == 0 ? whole : _mm512_srai_epi32(whole, kShift);
  }

  SLUICE_INLINE Floats to_float(Ints values) { return _mm512_cvtepi32_ps(values); }
  SLUICE_INLINE Floats broadcast(float value) { return _mm512_set1_ps(value); }
  SLUICE_INLINE Floats broadcast_load(const uint8_t* value) {
    float number;
    std::memcpy(&number, value, sizeof number);
    return _mm512_set1_ps(number);
  }
  SLUICE_INLINE Floats load(const float* values) { return _mm512_load_ps(values); }
  SLUICE_INLINE void store(float* values, Floats lanes) { _mm512_store_ps(values, lanes); }
  SLUICE_INLINE void store_unaligned(float* values, Floats lanes) {
    _mm512_storeu_ps(values, lanes);
  }
  SLUICE_INLINE Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  SLUICE_INLINE Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  SLUICE_INLINE Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  // Adds the columns times an activation.
  SLUICE_INLINE void add_scaled(Floats (&sums)[2], const Floats (&columns)[2],
                                const float* activation) {
    const __m512 a = _mm512_set1_ps(*activation);
    sums[0] = _mm512_fmadd_ps(columns[0], a, sums[0]);
    sums[1] = _mm512_fmadd_ps(columns[1], a, sums[1]);
  }
  SLUICE_INLINE Floats fnma(Floats a, Floats b, Floats c) { return _mm512_fnmadd_ps(a, b, c); }

  SLUICE_INLINE __m512i bytes_to_dwords(const uint8_t* bytes) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
  }
  SLUICE_INLINE Floats from_u8(const uint8_t* bytes) {
    return _mm512_cvtepi32_ps(bytes_to_dwords(bytes));
  }
  SLUICE_INLINE Floats from_i8(const uint8_t* bytes) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes))));
  }
  SLUICE_INLINE Floats from_f16(const uint8_t* halves) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves)));
  }
  SLUICE_INLINE Floats from_bf16(const uint8_t* halves) {
    const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
  }
  SLUICE_INLINE Floats from_f32(const uint8_t* floats) {
    return _mm512_loadu_ps(reinterpret_cast<const float*>(floats));
  }
  // The code's bits placed as a float are its value times 2^-120. The product is exact also for
  // subnormal codes; the fused form avoids a slow multiplication of denormals
  // (spec/cpu-kernels-avx2.md 1.2).
  SLUICE_INLINE Floats from_ue4m3(const uint8_t* codes) {
    const __m512i bits = _mm512_slli_epi32(bytes_to_dwords(codes), 20);
    return _mm512_fmadd_ps(_mm512_castsi512_ps(bits), _mm512_set1_ps(0x1p120f),
                           _mm512_setzero_ps());
  }
  SLUICE_INLINE Floats from_e8m0(const uint8_t* codes) {
    const __m512i exponents = bytes_to_dwords(codes);
    const __m512i bits = _mm512_slli_epi32(exponents, 23);
    const __mmask16 zero = _mm512_testn_epi32_mask(exponents, exponents);
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(bits, zero, _mm512_set1_epi32(0x00400000)));
  }

  SLUICE_INLINE void from_bf16_line(const uint8_t* line, Floats* columns) {
    const __m512i pairs = _mm512_load_si512(line);
    columns[0] = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
    columns[1] = _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(-65536)));
  }
  template <int kColumn>
  SLUICE_INLINE Floats from_bf16_column(const uint8_t* line) {
    const __m512i pairs = _mm512_load_si512(line);
    if constexpr (kColumn == 0) return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(-65536)));
  }
  // As from_e4m3_line(), one column of the four.
  template <int kColumn>
  SLUICE_INLINE Floats from_e4m3_column(const uint8_t* line) {
    const __m512i mask = _mm512_set1_epi32(static_cast<int>(0x87F00000u));
    __m512i quads = _mm512_load_si512(line);
    if constexpr (kColumn < 3) quads = _mm512_slli_epi32(quads, 24 - 8 * kColumn);
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_srai_epi16(quads, 4), mask));
  }
  // Values times 2^-120, subnormal codes as denormal floats (the activations carry the inverse).
  SLUICE_INLINE void from_e4m3_line(const uint8_t* line, Floats* columns) {
    const __m512i mask = _mm512_set1_epi32(static_cast<int>(0x87F087F0u));
    const __m512i high = _mm512_set1_epi32(-65536);
    const __m512i quads = _mm512_load_si512(line);
    const __m512i odd = _mm512_and_si512(_mm512_srai_epi16(quads, 4), mask);
    const __m512i even = _mm512_and_si512(_mm512_srai_epi16(_mm512_slli_epi16(quads, 8), 4), mask);
    columns[0] = _mm512_castsi512_ps(_mm512_slli_epi32(even, 16));
    columns[1] = _mm512_castsi512_ps(_mm512_slli_epi32(odd, 16));
    columns[2] = _mm512_castsi512_ps(_mm512_and_si512(even, high));
    columns[3] = _mm512_castsi512_ps(_mm512_and_si512(odd, high));
  }
};

}  // namespace
}  // namespace sluice::cpu
