#include "backend/cpu/vector/attention_kernels.h"

#include <limits>

// The order matters: targets, then the re-inclusion of this file per target, then Highway.
// clang-format off
#include "backend/cpu/vector/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/vector/attention_kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "backend/cpu/vector/product-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace sluice::cpu {
namespace HWY_NAMESPACE {
namespace {

constexpr int64_t kTokens = ops::kGrid;
constexpr int64_t kTileHeads = 6;

// Turns raw scores into weights e^(score - maximum) and updates the state. Lanes outside
// [begin, end) become zero. Returns the factor by which earlier sums and outputs shrink.
float softmax_page(float* scores, float scale, int64_t begin, int64_t end, SoftmaxState& state) {
  const F32 d;
  const int64_t n = lanes();
  const Vec lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  const Vec first = hn::Set(d, static_cast<float>(begin)),
            last = hn::Set(d, static_cast<float>(end));
  Vec largest = hn::Set(d, state.maximum);
  for (int64_t t = 0; t < kTokens; t += n) {
    const Vec token = hn::Iota(d, static_cast<float>(t));
    const auto inside = hn::And(hn::Ge(token, first), hn::Lt(token, last));
    const Vec score =
        hn::IfThenElse(inside, hn::Mul(hn::Load(d, scores + t), hn::Set(d, scale)), lowest);
    hn::Store(score, d, scores + t);
    largest = hn::Max(largest, score);
  }
  const Vec maximum = hn::MaxOfLanes(d, largest);
  Vec sum = hn::Zero(d);
  for (int64_t t = 0; t < kTokens; t += n) {
    const Vec weight = exp(hn::Sub(hn::Load(d, scores + t), maximum));
    hn::Store(weight, d, scores + t);
    sum = hn::Add(sum, weight);
  }
  const float shrink = hn::GetLane(exp(hn::Sub(hn::Set(d, state.maximum), maximum)));
  state.maximum = hn::GetLane(maximum);
  state.sum = state.sum * shrink + hn::GetLane(hn::SumOfLanes(d, sum));
  return shrink;
}

// The last value block of a head_dim that is no multiple of 32.
template <class Source>
void add_narrow_values(const typename Source::Type* values, int64_t width, int64_t begin,
                       int64_t end, const float* weights, float shrink, float* out) {
  for (int64_t c = 0; c < width; ++c) {
    float sum = out[c] * shrink;
    for (int64_t t = begin; t < end; ++t) {
      sum += weights[t] * Source::load_one(values + t * width + c);
    }
    out[c] = sum;
  }
}

template <class Source, int kHeads>
void attend_tile(const PageView& page, const float* queries, int64_t begin, int64_t end,
                 SoftmaxState* states, float* out) {
  using Type = typename Source::Type;
  const int64_t dim = page.head_dim;
  const auto* keys = reinterpret_cast<const Type*>(page.keys);
  const auto* values = reinterpret_cast<const Type*>(page.values);
  HWY_ALIGN float weights[kTileHeads * kTokens];
  float shrink[kTileHeads];
  for (int64_t half = 0; half < kTokens; half += kColumns) {
    if (begin < half + kColumns && end > half) {
      product_tile<Source, kHeads, Start::kZero, false>(keys + half * dim, dim, queries, dim, 1,
                                                        nullptr, weights + half, kTokens,
                                                        {page.fetch, page.end});
    } else {
      for (int h = 0; h < kHeads; ++h) {
        std::memset(weights + h * kTokens + half, 0, kColumns * sizeof(float));
      }
    }
  }
  for (int h = 0; h < kHeads; ++h) {
    shrink[h] = softmax_page(weights + h * kTokens, page.score_scale, begin, end, states[h]);
  }
  int64_t c = 0;
  for (; c + kColumns <= dim; c += kColumns) {
    product_tile<Source, kHeads, Start::kScaledOut, false>(
        values + c * kTokens + begin * kColumns, end - begin, weights + begin, kTokens, 1, shrink,
        out + c, dim, {page.fetch, page.end});
  }
  for (int h = 0; c < dim && h < kHeads; ++h) {
    add_narrow_values<Source>(values + c * kTokens, dim - c, begin, end, weights + h * kTokens,
                              shrink[h], out + h * dim + c);
  }
}

template <class Source>
void attend_heads(const PageView& page, const float* queries, int64_t heads, int64_t begin,
                  int64_t end, SoftmaxState* states, float* out) {
  const int64_t dim = page.head_dim;
  int64_t h = 0;
  if (heads % kTileHeads == 0) {
    for (; h < heads; h += kTileHeads) {
      attend_tile<Source, kTileHeads>(page, queries + h * dim, begin, end, states + h,
                                      out + h * dim);
    }
    return;
  }
  for (; h + 4 <= heads; h += 4) {
    attend_tile<Source, 4>(page, queries + h * dim, begin, end, states + h, out + h * dim);
  }
  for (; h + 2 <= heads; h += 2) {
    attend_tile<Source, 2>(page, queries + h * dim, begin, end, states + h, out + h * dim);
  }
  for (; h < heads; ++h) {
    attend_tile<Source, 1>(page, queries + h * dim, begin, end, states + h, out + h * dim);
  }
}

void attend_page(const PageView& page, const float* queries, int64_t heads, int64_t begin,
                 int64_t end, SoftmaxState* states, float* out) {
  switch (page.format) {
    case ops::KvFormat::kF32:
      return attend_heads<F32Source>(page, queries, heads, begin, end, states, out);
    case ops::KvFormat::kBF16:
      return attend_heads<Bf16Source>(page, queries, heads, begin, end, states, out);
    case ops::KvFormat::kFp8:
      return attend_heads<Fp8Source>(page, queries, heads, begin, end, states, out);
  }
}

void scale_add(const float* partial, float partial_scale, float scale, int64_t count, float* out) {
  const F32 d;
  const int64_t n = lanes();
  const Vec by = hn::Set(d, partial_scale), own = hn::Set(d, scale);
  int64_t i = 0;
  for (; i + n <= count; i += n) {
    const Vec kept = hn::Mul(hn::LoadU(d, out + i), own);
    hn::StoreU(hn::Add(kept, hn::Mul(hn::LoadU(d, partial + i), by)), d, out + i);
  }
  for (; i < count; ++i) out[i] = out[i] * scale + partial[i] * partial_scale;
}

void merge(const SoftmaxState* partial_states, const float* partial, int64_t heads,
           int64_t head_dim, SoftmaxState* states, float* out) {
  const F32 d;
  for (int64_t h = 0; h < heads; ++h) {
    const SoftmaxState later = partial_states[h];
    if (later.sum == 0.0f) continue;  // no token of this part was attended to
    SoftmaxState& state = states[h];
    const float maximum = state.maximum > later.maximum ? state.maximum : later.maximum;
    const float own = hn::GetLane(exp(hn::Set(d, state.maximum - maximum)));
    const float other = hn::GetLane(exp(hn::Set(d, later.maximum - maximum)));
    scale_add(partial + h * head_dim, other, own, head_dim, out + h * head_dim);
    state = {maximum, state.sum * own + later.sum * other};
  }
}

void finish(const SoftmaxState* states, float value_scale, int64_t heads, int64_t head_dim,
            float* out) {
  const F32 d;
  const int64_t n = lanes();
  for (int64_t h = 0; h < heads; ++h) {
    const float factor = states[h].sum == 0.0f ? 0.0f : value_scale / states[h].sum;
    float* const head = out + h * head_dim;
    int64_t i = 0;
    for (; i + n <= head_dim; i += n) {
      hn::StoreU(hn::Mul(hn::LoadU(d, head + i), hn::Set(d, factor)), d, head + i);
    }
    for (; i < head_dim; ++i) head[i] *= factor;
  }
}

}  // namespace

const AttentionKernels& attention_kernel_table() {
  static constexpr AttentionKernels kTable = {attend_page, merge, finish};
  return kTable;
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice::cpu {

float stored_scale(ops::KvFormat format) { return format == ops::KvFormat::kFp8 ? 256.0f : 1.0f; }

const AttentionKernels& attention_kernels(InstructionSet set) {
  SLUICE_PICK_TARGET(set, attention_kernel_table)
}

}  // namespace sluice::cpu
#endif
