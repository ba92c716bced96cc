// The lanes of AVX2 with the dot products of AVX-VNNI, which add up in 32 bits and do not saturate.
// The intrinsics are those that GCC and clang encode as VEX under -mavxvnni and as EVEX under
// -mavx512vnni -mavx512vl: a test compiles the latter, because processors with both are more common
// than those with AVX-VNNI alone. Included by avxvnni/ and that test only.
#pragma once

#include "backend/cpu/avx2/lanes-inl.h"

namespace sluice::cpu {
namespace {

struct Lanes : Avx2Lanes {
  static constexpr bool kSignedBytes = true;
  static constexpr int64_t kWordsFrom = 5, kDirectWords = 0;
  static constexpr int64_t direct_bytes(bool) { return 4; }
  static constexpr bool kOffsetFirst = true;          // the offset's part is where the sums start
  static constexpr bool kSums16 = false;              // sums in 32 bits
  static constexpr bool kStartsWithProducts = false;  // dot products add up
  static constexpr int kSignedOffsetShift = 7;        // VPDPBUSD takes unsigned weights
  static constexpr int kNibbleChain = 8, kFiveChain = 8, kSixChain = 8;

  SLUICE_INLINE Codes signed_line(const uint8_t* line) {
    const __m256i top = _mm256_set1_epi8(-128);
    const Codes codes = load_line(line);
    return {_mm256_xor_si256(codes.low, top), _mm256_xor_si256(codes.high, top)};
  }
  SLUICE_INLINE Codes load_table(const int8_t* table) {
    const __m256i top = _mm256_set1_epi8(-128);
    const Codes levels = Avx2Lanes::load_table(table);
    return {_mm256_xor_si256(levels.low, top), _mm256_xor_si256(levels.high, top)};
  }
  SLUICE_INLINE Codes add_bytes(Codes codes, int value) {
    const __m256i all = _mm256_set1_epi8(static_cast<char>(value));
    return {_mm256_add_epi8(codes.low, all), _mm256_add_epi8(codes.high, all)};
  }
  template <bool kSigned>
  SLUICE_INLINE void add_products(Ints& sums, Codes codes, const uint8_t* activation) {
    add_tile_products<Product::kUnsigned>(sums, codes, activation);
  }
  template <Product kProduct>
  SLUICE_INLINE void add_tile_products(Ints& sums, Codes codes, const uint8_t* activation) {
    const __m256i a = _mm256_set1_epi32(load_dword(activation));
    if constexpr (kProduct == Product::kWords) {
      sums.low = _mm256_dpwssd_epi32(sums.low, codes.low, a);
      sums.high = _mm256_dpwssd_epi32(sums.high, codes.high, a);
    } else {
      sums.low = _mm256_dpbusd_epi32(sums.low, codes.low, a);
      sums.high = _mm256_dpbusd_epi32(sums.high, codes.high, a);
    }
  }
  template <bool kWide>
  SLUICE_INLINE Ints widen(Ints sums) {
    return sums;
  }
};

}  // namespace
}  // namespace sluice::cpu
