// 512-bit intrinsics that SIMDe 0.7.4 lacks or makes slow to compile, over two registers of AVX2.
// Included by immintrin.h of this folder only.
#pragma once

namespace sluice::test::emulated {
namespace {

__m512i join(__m256i low, __m256i high) {
  simde__m512i_private out;
  out.m256i[0] = low;
  out.m256i[1] = high;
  return simde__m512i_from_private(out);
}
__m512 join(__m256 low, __m256 high) {
  simde__m512_private out;
  out.m256[0] = low;
  out.m256[1] = high;
  return simde__m512_from_private(out);
}
__m128i upper(__m128i bytes) { return _mm_srli_si128(bytes, 8); }
__m128i upper(__m256i bytes) { return _mm256_extracti128_si256(bytes, 1); }
__m128i lower(__m256i bytes) { return _mm256_castsi256_si128(bytes); }

__m512 cvtepi32_ps(__m512i a) {
  const simde__m512i_private in = simde__m512i_to_private(a);
  return join(_mm256_cvtepi32_ps(in.m256i[0]), _mm256_cvtepi32_ps(in.m256i[1]));
}
__m512 cvtph_ps(__m256i a) { return join(_mm256_cvtph_ps(lower(a)), _mm256_cvtph_ps(upper(a))); }
__m512i cvtepi8_epi32(__m128i a) {
  return join(_mm256_cvtepi8_epi32(a), _mm256_cvtepi8_epi32(upper(a)));
}
__m512i cvtepu8_epi32(__m128i a) {
  return join(_mm256_cvtepu8_epi32(a), _mm256_cvtepu8_epi32(upper(a)));
}
__m512i cvtepu16_epi32(__m256i a) {
  return join(_mm256_cvtepu16_epi32(lower(a)), _mm256_cvtepu16_epi32(upper(a)));
}
__m512i srai_epi32(__m512i a, int bits) {
  const simde__m512i_private in = simde__m512i_to_private(a);
  return join(_mm256_srai_epi32(in.m256i[0], bits), _mm256_srai_epi32(in.m256i[1], bits));
}
__mmask16 testn_epi32_mask(__m512i a, __m512i b) {
  const simde__m512i_private x = simde__m512i_to_private(a), y = simde__m512i_to_private(b);
  unsigned mask = 0;
  for (int i = 0; i < 16; ++i) mask |= static_cast<unsigned>((x.u32[i] & y.u32[i]) == 0) << i;
  return static_cast<__mmask16>(mask);
}

// SIMDe has this one, by shuffles of 64 elements that the compiler takes apart one by one. Here the
// bytes of even and of odd places are widened to words, of which PMADDWD adds pairs of products
// exactly.
__m512i dpbusd_epi32(__m512i sums, __m512i a, __m512i b) {
  const simde__m512i_private s = simde__m512i_to_private(sums), x = simde__m512i_to_private(a),
                             y = simde__m512i_to_private(b);
  __m256i halves[2];
  for (int i = 0; i < 2; ++i) {
    const __m256i even = _mm256_madd_epi16(_mm256_and_si256(x.m256i[i], _mm256_set1_epi16(0xff)),
                                           _mm256_srai_epi16(_mm256_slli_epi16(y.m256i[i], 8), 8));
    const __m256i odd =
        _mm256_madd_epi16(_mm256_srli_epi16(x.m256i[i], 8), _mm256_srai_epi16(y.m256i[i], 8));
    halves[i] = _mm256_add_epi32(s.m256i[i], _mm256_add_epi32(even, odd));
  }
  return join(halves[0], halves[1]);
}

}  // namespace
}  // namespace sluice::test::emulated

#undef _mm512_cvtepi32_ps
#undef _mm512_cvtph_ps
#undef _mm512_cvtepi8_epi32
#undef _mm512_cvtepu8_epi32
#undef _mm512_cvtepu16_epi32
#undef _mm512_srai_epi32
#undef _mm512_testn_epi32_mask
#undef _mm512_dpbusd_epi32
#define _mm512_cvtepi32_ps(a) sluice::test::emulated::cvtepi32_ps(a)
#define _mm512_cvtph_ps(a) sluice::test::emulated::cvtph_ps(a)
#define _mm512_cvtepi8_epi32(a) sluice::test::emulated::cvtepi8_epi32(a)
#define _mm512_cvtepu8_epi32(a) sluice::test::emulated::cvtepu8_epi32(a)
#define _mm512_cvtepu16_epi32(a) sluice::test::emulated::cvtepu16_epi32(a)
#define _mm512_srai_epi32(a, bits) sluice::test::emulated::srai_epi32(a, bits)
#define _mm512_testn_epi32_mask(a, b) sluice::test::emulated::testn_epi32_mask(a, b)
#define _mm512_dpbusd_epi32(sums, a, b) sluice::test::emulated::dpbusd_epi32(sums, a, b)
