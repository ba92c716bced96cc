// Small dense products with 32 columns: the inner loop of attention (queries with a page of keys,
// weights with a page of values) and of the chunked delta rule. Compiled again for every target.
//
// out[r][c] = start +- sum over j ascending of a[r][j] * b[j][c], each output one chain of fused
// products in that order: how rows are tiled, or how many there are, changes no bit.
#if defined(SLUICE_BACKEND_CPU_VECTOR_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_BACKEND_CPU_VECTOR_PRODUCT_INL_H_
#undef SLUICE_BACKEND_CPU_VECTOR_PRODUCT_INL_H_
#else
#define SLUICE_BACKEND_CPU_VECTOR_PRODUCT_INL_H_
#endif

#include "backend/cpu/product.h"
#include "backend/cpu/vector/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::cpu {
namespace HWY_NAMESPACE {

inline constexpr int64_t kColumns = 32;

// Elements of b as F32; all conversions are exact. kStreams: b comes from memory, not from cache,
// and is asked for ahead where that was measured to pay (fetch_tuning.h; attention at 32K tokens:
// 12 % faster on Zen 4 with 2 KiB than left to the hardware).
struct F32Source {
  using Type = float;
  static constexpr bool kStreams = false;
  // Two vectors of neighbouring elements.
  static HWY_INLINE void load_two(const float* from, Vec& first, Vec& second) {
    first = hn::LoadU(F32(), from);
    second = hn::LoadU(F32(), from + lanes());
  }
  static HWY_INLINE float load_one(const float* from) { return *from; }
};

struct Bf16Source {
  using Type = uint16_t;
  static constexpr bool kStreams = true;
  static HWY_INLINE Vec load(const uint16_t* from) {
    const hn::RebindToUnsigned<F32> du;
    const hn::Rebind<uint16_t, F32> d16;
    return hn::BitCast(F32(), hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(d16, from))));
  }
  static HWY_INLINE void load_two(const uint16_t* from, Vec& first, Vec& second) {
    first = load(from);
    second = load(from + lanes());
  }
  static HWY_INLINE float load_one(const uint16_t* from) {
    const uint32_t bits = static_cast<uint32_t>(*from) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
};

// E4M3 moved into the fields of a half float, which reads it as value * 2^-8, denormals included;
// callers fold the 2^8 into a factor of theirs. As the upper byte of 16 bits it needs one
// arithmetic shift, which doubles the sign, and a mask. (Going through fp32 instead would multiply
// denormal operands, 35 cycles each on some machines: spec/cpu-kernels-avx2.md 1.2.) Code 0x7f, not
// a number, reads as 480: the cache stores it only for keys that were already lost.
struct Fp8Source {
  using Type = uint8_t;
  static constexpr bool kStreams = true;
  template <class D16>
  static HWY_INLINE hn::Vec<D16> halves(D16 d16, const uint8_t* from) {
    const hn::Rebind<uint8_t, D16> d8;
    const auto upper = hn::ShiftLeft<8>(hn::PromoteTo(d16, hn::LoadU(d8, from)));
    return hn::And(hn::ShiftRight<1>(upper), hn::Set(d16, static_cast<int16_t>(0xbfff)));
  }
  static HWY_INLINE Vec load(const uint8_t* from) {
    const hn::Rebind<int16_t, F32> d16;
    const hn::Rebind<hwy::float16_t, F32> half;
    return hn::PromoteTo(F32(), hn::BitCast(half, halves(d16, from)));
  }
  static HWY_INLINE void load_two(const uint8_t* from, Vec& first, Vec& second) {
#if HWY_TARGET == HWY_SCALAR
    first = load(from);
    second = load(from + 1);
#else
    const hn::Repartition<int16_t, F32> d16;
    const hn::Half<decltype(d16)> half16;  // Highway 1.0 has no halves of half floats for Arm
    const hn::Rebind<hwy::float16_t, F32> half;
    const auto bits = halves(d16, from);
    first = hn::PromoteTo(F32(), hn::BitCast(half, hn::LowerHalf(half16, bits)));
    second = hn::PromoteTo(F32(), hn::BitCast(half, hn::UpperHalf(half16, bits)));
#endif
  }
  static HWY_INLINE float load_one(const uint8_t* from) {
    uint8_t copy[kMaxLanes] = {*from};
    return hn::GetLane(load(copy));
  }
};

// Addresses may lie behind the last page, where asking does nothing.
struct AskAhead {
  FetchDistance distance = {};
  StreamEnd end = {};

  HWY_INLINE const void* ahead(const void* from, int32_t bytes) const {
    const uintptr_t at = reinterpret_cast<uintptr_t>(from) + static_cast<uintptr_t>(bytes);
    return reinterpret_cast<const void*>(at < end.at ? at : at + end.skip);
  }
  HWY_INLINE void ask(const void* from) const {
    if (distance.far != 0) __builtin_prefetch(ahead(from, distance.far), 0, 2);
    if (distance.near != 0) __builtin_prefetch(ahead(from, distance.near), 0, 3);
  }
};

enum class Start { kZero, kOut, kScaledOut };  // kScaledOut: out[r] * scale[r]

template <class Source, int kRows, Start kStart, bool kSubtract>
HWY_INLINE void product_tile(const typename Source::Type* HWY_RESTRICT b, int64_t depth,
                             const float* HWY_RESTRICT a, int64_t a_row, int64_t a_step,
                             const float* HWY_RESTRICT scale, float* HWY_RESTRICT out,
                             int64_t out_stride, const AskAhead& ask = {}) {
  const F32 d;
  const int64_t n = lanes();
  const AskAhead ahead = ask;
  for (int64_t c = 0; c < kColumns; c += 2 * n) {
    Vec sum[kRows][2];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      if constexpr (kStart == Start::kZero) {
        sum[r][0] = sum[r][1] = hn::Zero(d);
      } else {
        sum[r][0] = hn::LoadU(d, out + r * out_stride + c);
        sum[r][1] = hn::LoadU(d, out + r * out_stride + c + n);
      }
      if constexpr (kStart == Start::kScaledOut) {
        sum[r][0] = hn::Mul(sum[r][0], hn::Set(d, scale[r]));
        sum[r][1] = hn::Mul(sum[r][1], hn::Set(d, scale[r]));
      }
    }
    const typename Source::Type* HWY_RESTRICT from = b + c;
    const bool asks = c == 0 && (ahead.distance.far | ahead.distance.near) != 0;
    static_cast<void>(asks);  // not of every source
    for (int64_t j = 0; j < depth; ++j, from += kColumns) {
      if constexpr (Source::kStreams) {
        if (asks) ahead.ask(from);
      }
      Vec b0, b1;
      Source::load_two(from, b0, b1);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const Vec factor = hn::Set(d, a[r * a_row + j * a_step]);
        if constexpr (kSubtract) {
          sum[r][0] = hn::NegMulAdd(factor, b0, sum[r][0]);
          sum[r][1] = hn::NegMulAdd(factor, b1, sum[r][1]);
        } else {
          sum[r][0] = hn::MulAdd(factor, b0, sum[r][0]);
          sum[r][1] = hn::MulAdd(factor, b1, sum[r][1]);
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      hn::StoreU(sum[r][0], d, out + r * out_stride + c);
      hn::StoreU(sum[r][1], d, out + r * out_stride + c + n);
    }
  }
}

// Any number of rows: tiles of four (eight accumulators hide the latency of a fused product on
// every machine), or of six where that fits, as 27B's six query heads per kv head.
template <class Source, Start kStart, bool kSubtract>
HWY_INLINE void product(const typename Source::Type* b, int64_t depth, const float* a,
                        int64_t a_row, int64_t a_step, float* out, int64_t out_stride,
                        int64_t rows) {
  int64_t r = 0;
  if (rows % 6 == 0) {
    for (; r < rows; r += 6) {
      product_tile<Source, 6, kStart, kSubtract>(b, depth, a + r * a_row, a_row, a_step, nullptr,
                                                 out + r * out_stride, out_stride);
    }
    return;
  }
  for (; r + 4 <= rows; r += 4) {
    product_tile<Source, 4, kStart, kSubtract>(b, depth, a + r * a_row, a_row, a_step, nullptr,
                                               out + r * out_stride, out_stride);
  }
  if (r + 2 <= rows) {
    product_tile<Source, 2, kStart, kSubtract>(b, depth, a + r * a_row, a_row, a_step, nullptr,
                                               out + r * out_stride, out_stride);
    r += 2;
  }
  if (r < rows) {
    product_tile<Source, 1, kStart, kSubtract>(b, depth, a + r * a_row, a_row, a_step, nullptr,
                                               out + r * out_stride, out_stride);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::cpu
HWY_AFTER_NAMESPACE();

#endif  // SLUICE_BACKEND_CPU_VECTOR_PRODUCT_INL_H_
