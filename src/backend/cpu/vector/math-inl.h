// Vector helpers shared by the kernels, compiled again for every target (hence the toggling guard
// instead of #pragma once).
#if defined(SLUICE_BACKEND_CPU_VECTOR_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_BACKEND_CPU_VECTOR_MATH_INL_H_
#undef SLUICE_BACKEND_CPU_VECTOR_MATH_INL_H_
#else
#define SLUICE_BACKEND_CPU_VECTOR_MATH_INL_H_
#endif

#include <cstdint>
#include <cstring>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using Vec = hn::Vec<F32>;
using F64 = hn::ScalableTag<double>;
using HalfF32 = hn::Rebind<float, F64>;  // as many floats as a vector of doubles has lanes

HWY_INLINE int64_t lanes() { return static_cast<int64_t>(hn::Lanes(F32())); }
inline constexpr int64_t kMaxLanes = static_cast<int64_t>(hn::MaxLanes(F32()));

// The first `count` < lanes() floats, zeros behind. Highway's masked load may read past the end on
// old targets.
HWY_INLINE Vec load_tail(const float* from, int64_t count) {
  HWY_ALIGN float copy[kMaxLanes] = {};
  std::memcpy(copy, from, static_cast<size_t>(count) * sizeof(float));
  return hn::Load(F32(), copy);
}

HWY_INLINE void store_tail(Vec value, float* to, int64_t count) {
  HWY_ALIGN float copy[kMaxLanes];
  hn::Store(value, F32(), copy);
  std::memcpy(to, copy, static_cast<size_t>(count) * sizeof(float));
}

// e^x within 2 ulp (measured in vector_kernels_test); 0 below -104, infinity above 88.7; NaN stays
// NaN. x = n ln 2 + r with |r| <= 0.35; the Taylor polynomial of degree 7 is off by at most 0.1 ulp
// there, so no fitted coefficients are needed. 2^n is applied in two steps so that results may be
// denormal.
HWY_INLINE Vec exp(Vec x) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  const auto number = hn::Eq(x, x);
  const Vec given = x;
  x = hn::Min(hn::Set(d, 89.0f), hn::Max(hn::Set(d, -104.0f), x));  // targets differ for NaN
  const auto n = hn::NearestInt(hn::Mul(x, hn::Set(d, 1.44269504088896341f)));
  const Vec nf = hn::ConvertTo(d, n);
  // ln 2 in two parts; the first has so few bits that n times it is exact also without a fused
  // product.
  Vec r = hn::NegMulAdd(nf, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(nf, hn::Set(d, -2.12194440e-4f), r);
  Vec p = hn::Set(d, 1.0f / 5040.0f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 720.0f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 120.0f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 24.0f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 6.0f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.5f));
  p = hn::Add(hn::MulAdd(hn::Mul(r, r), p, r), hn::Set(d, 1.0f));
  const auto half = hn::ShiftRight<1>(n);
  const auto bias = hn::Set(di, 127);
  const Vec first = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(half, bias)));
  const Vec second = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::Sub(n, half), bias)));
  return hn::IfThenElse(number, hn::Mul(hn::Mul(p, first), second), given);
}

HWY_INLINE Vec sigmoid(Vec x) {
  const Vec one = hn::Set(F32(), 1.0f);
  return hn::Div(one, hn::Add(one, exp(hn::Neg(x))));
}

HWY_INLINE Vec silu(Vec x) { return hn::Div(x, hn::Add(hn::Set(F32(), 1.0f), exp(hn::Neg(x)))); }

// Sum of squares in double: a norm of large or tiny values neither overflows nor vanishes, and
// norms are a thousandth of a step. Four accumulators, joined in a fixed order.
HWY_INLINE double sum_of_squares(const float* x, int64_t count) {
  const F64 d;
  const HalfF32 df;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d), sum2 = hn::Zero(d), sum3 = hn::Zero(d);
  int64_t i = 0;
  for (; i + 4 * n <= count; i += 4 * n) {
    const auto x0 = hn::PromoteTo(d, hn::LoadU(df, x + i));
    const auto x1 = hn::PromoteTo(d, hn::LoadU(df, x + i + n));
    const auto x2 = hn::PromoteTo(d, hn::LoadU(df, x + i + 2 * n));
    const auto x3 = hn::PromoteTo(d, hn::LoadU(df, x + i + 3 * n));
    sum0 = hn::MulAdd(x0, x0, sum0);
    sum1 = hn::MulAdd(x1, x1, sum1);
    sum2 = hn::MulAdd(x2, x2, sum2);
    sum3 = hn::MulAdd(x3, x3, sum3);
  }
  double sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3))));
  for (; i < count; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::cpu
HWY_AFTER_NAMESPACE();

#endif  // SLUICE_BACKEND_CPU_VECTOR_MATH_INL_H_
