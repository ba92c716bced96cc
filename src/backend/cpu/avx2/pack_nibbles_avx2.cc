// Needs AVX2.
#include <immintrin.h>

#include "backend/cpu/pack/whole_units.h"

namespace sluice::cpu::avx2 {
namespace {

// Lanes 4q .. 4q + 3 of four lines, q = 0 in the low halves and 1 in the high ones: rows i and
// i + 4 share a register.
inline void store_squares(const __m256i (&rows)[4], uint8_t* to) {
  const __m256i ac_low = _mm256_unpacklo_epi32(rows[0], rows[2]);
  const __m256i ac_high = _mm256_unpackhi_epi32(rows[0], rows[2]);
  const __m256i bd_low = _mm256_unpacklo_epi32(rows[1], rows[3]);
  const __m256i bd_high = _mm256_unpackhi_epi32(rows[1], rows[3]);
  const auto store = [&](int line, __m256i value) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + line * kLine), value);
  };
  store(0, _mm256_unpacklo_epi32(ac_low, bd_low));
  store(1, _mm256_unpackhi_epi32(ac_low, bd_low));
  store(2, _mm256_unpacklo_epi32(ac_high, bd_high));
  store(3, _mm256_unpackhi_epi32(ac_high, bd_high));
}

inline __m256i load_two(const uint8_t* low, const uint8_t* high) {
  return _mm256_inserti128_si256(
      _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(low))),
      _mm_loadu_si128(reinterpret_cast<const __m128i*>(high)), 1);
}

}  // namespace

void pack_nibbles(const uint8_t* first, size_t row_bytes, uint8_t* codes) {
  const __m256i low_nibbles = _mm256_set1_epi8(0x0f);
  for (int pair = 0; pair < 4; ++pair, first += 32, codes += 8 * kLine) {
    __m256i late[2][4];
    for (int half = 0; half < 2; ++half) {
      __m256i early[4];
      for (int i = 0; i < 4; ++i) {
        const uint8_t* row = first + static_cast<size_t>(8 * half + i) * row_bytes;
        const uint8_t* fourth = row + 4 * row_bytes;
        const __m256i a = load_two(row, fourth), b = load_two(row + 16, fourth + 16);
        const __m256i crossed =
            _mm256_and_si256(_mm256_xor_si256(_mm256_srli_epi32(a, 4), b), low_nibbles);
        const __m256i even = _mm256_xor_si256(a, _mm256_slli_epi32(crossed, 4));
        const __m256i odd = _mm256_xor_si256(b, crossed);
        early[i] = _mm256_unpacklo_epi8(even, odd);
        late[half][i] = _mm256_unpackhi_epi8(even, odd);
      }
      store_squares(early, codes + 32 * half);
    }
    for (int half = 0; half < 2; ++half) store_squares(late[half], codes + 4 * kLine + 32 * half);
  }
}

}  // namespace sluice::cpu::avx2
