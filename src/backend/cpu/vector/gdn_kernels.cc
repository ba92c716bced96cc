#include "backend/cpu/vector/gdn_kernels.h"

// The order matters: targets, then the re-inclusion of this file per target, then Highway.
// clang-format off
#include "backend/cpu/vector/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/vector/gdn_kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "backend/cpu/vector/product-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace sluice::cpu {
namespace HWY_NAMESPACE {
namespace {

constexpr int64_t kChunk = 64;

// Two vectors of columns; even and odd keys are summed apart, which halves the chain of dependent
// products, and joined as even + odd.
struct Sums {
  Vec even[2], odd[2];
};

HWY_INLINE Sums zero_sums() {
  const Vec zero = hn::Zero(F32());
  return {{zero, zero}, {zero, zero}};
}

// One sweep over the keys of a block: finishes row r (rank-one update with d, output) and starts
// the prediction of row r + 1. kUpdate is false only before the first row.
struct Sweep {
  const float* from;
  float* to;
  int64_t key_dim;
  const float *key, *query, *next_key;
  Vec decay, next_decay;
  Vec d[2];
};

template <bool kUpdate, bool kOut, bool kNext, bool kStore>
HWY_INLINE void sweep_key(const Sweep& s, int64_t i, Vec out[2], Vec prediction[2]) {
  const F32 d;
  const int64_t n = lanes();
#pragma GCC unroll 2
  for (int v = 0; v < 2; ++v) {
    Vec state = hn::LoadU(d, s.from + i * kStateColumns + v * n);
    if constexpr (kUpdate) {
      state = hn::MulAdd(hn::Set(d, s.key[i]), s.d[v], hn::Mul(s.decay, state));
    }
    if constexpr (kStore) hn::StoreU(state, d, s.to + i * kStateColumns + v * n);
    if constexpr (kOut) out[v] = hn::MulAdd(hn::Set(d, s.query[i]), state, out[v]);
    if constexpr (kNext) {
      prediction[v] =
          hn::MulAdd(hn::Set(d, s.next_key[i]), hn::Mul(s.next_decay, state), prediction[v]);
    }
  }
}

template <bool kUpdate, bool kOut, bool kNext, bool kStore>
HWY_INLINE void sweep(const Sweep& s, const float* next, Vec out[2], Vec prediction[2]) {
  Sums o = zero_sums(), p = zero_sums();
  int64_t i = 0;
  for (; i + 2 <= s.key_dim; i += 2) {
    if (next != nullptr) {
      // Towards the second level: the first holds this block and its copy.
      for (int64_t line = 0; line < 2 * kStateColumns; line += 16) {
        __builtin_prefetch(next + i * kStateColumns + line, 0, 2);
      }
    }
    sweep_key<kUpdate, kOut, kNext, kStore>(s, i, o.even, p.even);
    sweep_key<kUpdate, kOut, kNext, kStore>(s, i + 1, o.odd, p.odd);
  }
  if (i < s.key_dim) sweep_key<kUpdate, kOut, kNext, kStore>(s, i, o.even, p.even);
  for (int v = 0; v < 2; ++v) {
    if constexpr (kOut) out[v] = hn::Add(o.even[v], o.odd[v]);
    if constexpr (kNext) prediction[v] = hn::Add(p.even[v], p.odd[v]);
  }
}

template <bool kOut, bool kNext, bool kStore>
HWY_INLINE void finish_row(Sweep& s, const DeltaRow& row, const DeltaRow* after, int64_t column,
                           const float* next, Vec prediction[2]) {
  const F32 d;
  const int64_t n = lanes();
  Vec out[2];
  for (int v = 0; v < 2; ++v) {
    const Vec value = hn::LoadU(d, row.value + column + v * n);
    s.d[v] = hn::Mul(hn::Set(d, row.beta), hn::Sub(value, prediction[v]));
  }
  s.key = row.key;
  s.query = row.query;
  s.decay = hn::Set(d, row.decay);
  if constexpr (kNext) {
    s.next_key = after->key;
    s.next_decay = hn::Set(d, after->decay);
  }
  static_cast<void>(after);
  sweep<true, kOut, kNext, kStore>(s, next, out, prediction);
  if constexpr (kOut) {
    for (int v = 0; v < 2; ++v) hn::StoreU(out[v], d, row.out + column + v * n);
  }
}

void apply_rows(const DeltaRow* rows, int64_t count, int64_t committed, int64_t key_dim,
                float* state, float* scratch, const float* next) {
  if (count == 0) return;
  const int64_t n = lanes();
  for (int64_t column = 0; column < kStateColumns; column += 2 * n) {
    const F32 d;
    Sweep s;
    s.from = state + column;
    s.to = nullptr;
    s.key_dim = key_dim;
    s.next_key = rows[0].key;
    s.next_decay = hn::Set(d, rows[0].decay);
    Vec prediction[2];
    sweep<false, false, true, false>(s, nullptr, nullptr, prediction);
    for (int64_t r = 0; r < count; ++r) {
      const bool last = r + 1 == count;
      const DeltaRow* after = last ? nullptr : rows + r + 1;
      // Fetching the next block while this one is worked on in cache keeps the memory busy; once
      // per block is enough.
      const float* fetch = r == 0 && column == 0 ? next : nullptr;
      s.to = (r < committed ? state : scratch) + column;
      if (rows[r].query == nullptr) {
        if (last) {
          finish_row<false, false, true>(s, rows[r], after, column, fetch, prediction);
        } else {
          finish_row<false, true, true>(s, rows[r], after, column, fetch, prediction);
        }
      } else if (last) {
        finish_row<true, false, false>(s, rows[r], after, column, fetch, prediction);
      } else {
        finish_row<true, true, true>(s, rows[r], after, column, fetch, prediction);
      }
      s.from = s.to;
    }
  }
}

// [rows, key_dim] to two blocks [key_dim][32], zeros where there is no row.
void transpose_keys(const ChunkShared& chunk) {
  const int64_t dim = chunk.key_dim;
  for (int64_t half = 0; half * kColumns < chunk.rows; ++half) {
    float* const to = chunk.transposed + half * dim * kColumns;
    for (int64_t c = 0; c < kColumns; ++c) {
      const int64_t row = half * kColumns + c;
      if (row < chunk.rows) {
        const float* from = chunk.keys + row * chunk.key_stride;
        for (int64_t i = 0; i < dim; ++i) to[i * kColumns + c] = from[i];
      } else {
        for (int64_t i = 0; i < dim; ++i) to[i * kColumns + c] = 0.0f;
      }
    }
  }
}

// gamma differences come from a double sum in two floats: high and low part are subtracted apart,
// so that a long chunk of strong decays loses nothing.
struct Gamma {
  HWY_ALIGN float high[kChunk];
  HWY_ALIGN float low[kChunk];
};

void prepare_chunk(ChunkShared& chunk, const float* g, int64_t g_stride) {
  const F32 d;
  const int64_t n = lanes(), rows = chunk.rows;
  Gamma gamma = {};
  double sum = 0.0;
  for (int64_t i = 0; i < rows; ++i) {
    sum += static_cast<double>(g[i * g_stride]);
    gamma.high[i] = static_cast<float>(sum);
    gamma.low[i] = static_cast<float>(sum - static_cast<double>(gamma.high[i]));
  }
  const Vec end_high = hn::Set(d, gamma.high[rows - 1]), end_low = hn::Set(d, gamma.low[rows - 1]);
  for (int64_t i = 0; i < kChunk; i += n) {
    const Vec high = hn::Load(d, gamma.high + i), low = hn::Load(d, gamma.low + i);
    hn::StoreU(exp(hn::Add(high, low)), d, chunk.decay_in + i);
    hn::StoreU(exp(hn::Add(hn::Sub(end_high, high), hn::Sub(end_low, low))), d,
               chunk.decay_out + i);
  }
  transpose_keys(chunk);
  const int64_t dim = chunk.key_dim;
  for (int64_t half = 0; half * kColumns < rows; ++half) {
    // Rows before this half's first column have nothing in it.
    const int64_t first = half * kColumns;
    const float* const b = chunk.transposed + half * dim * kColumns;
    product<F32Source, Start::kZero, false>(
        b, dim, chunk.keys + first * chunk.key_stride, chunk.key_stride, 1,
        chunk.mixing + first * kChunk + first, kChunk, rows - first);
    product<F32Source, Start::kZero, false>(
        b, dim, chunk.queries + first * chunk.query_stride, chunk.query_stride, 1,
        chunk.attention + first * kChunk + first, kChunk, rows - first);
  }
  const Vec zero = hn::Zero(d);
  for (int64_t i = 0; i < rows; ++i) {
    const Vec high = hn::Set(d, gamma.high[i]), low = hn::Set(d, gamma.low[i]);
    const Vec beta = hn::Set(d, chunk.beta[i]);
    for (int64_t j = 0; j <= i; j += n) {
      const Vec difference = hn::Add(hn::Sub(high, hn::Load(d, gamma.high + j)),
                                     hn::Sub(low, hn::Load(d, gamma.low + j)));
      // Lanes with j > i are never read; the minimum keeps them finite.
      const Vec decay = exp(hn::Min(difference, zero));
      float* const a = chunk.mixing + i * kChunk + j;
      float* const p = chunk.attention + i * kChunk + j;
      hn::StoreU(hn::Mul(hn::Mul(beta, hn::LoadU(d, a)), decay), d, a);
      hn::StoreU(hn::Mul(hn::LoadU(d, p), decay), d, p);
    }
  }
}

// row[0, 32) = row * factor.
HWY_INLINE void scale_row(float* row, float factor) {
  const F32 d;
  const Vec by = hn::Set(d, factor);
  for (int64_t c = 0; c < kColumns; c += lanes()) {
    hn::StoreU(hn::Mul(hn::LoadU(d, row + c), by), d, row + c);
  }
}

// out_i += sign * sum over j < (or <=) i of a_ij * b_j for a triangular a: full tiles of four rows
// up to the diagonal, then row by row; ascending j throughout. out may be b (substitution).
template <bool kSubtract, bool kDiagonal>
void triangular_product(const float* a, const float* b, float* out, int64_t out_stride,
                        int64_t rows) {
  for (int64_t i0 = 0; i0 < rows; i0 += 4) {
    const int64_t height = rows - i0 < 4 ? rows - i0 : 4;
    product<F32Source, Start::kOut, kSubtract>(b, i0, a + i0 * kChunk, kChunk, 1,
                                               out + i0 * out_stride, out_stride, height);
    for (int64_t i = i0; i < i0 + height; ++i) {
      const int64_t depth = i - i0 + (kDiagonal ? 1 : 0);
      product_tile<F32Source, 1, Start::kOut, kSubtract>(b + i0 * kColumns, depth,
                                                         a + i * kChunk + i0, kChunk, 1, nullptr,
                                                         out + i * out_stride, out_stride);
    }
  }
}

void apply_chunk(const ChunkShared& chunk, const float* values, int64_t value_stride, float* state,
                 float* news, float* out, int64_t out_stride) {
  const F32 d;
  const int64_t n = lanes(), rows = chunk.rows, dim = chunk.key_dim;
  // N = diag(beta) (V - diag(e^gamma) K S), then (I + A) N = that, by substitution.
  product<F32Source, Start::kZero, false>(state, dim, chunk.keys, chunk.key_stride, 1, news,
                                          kColumns, rows);
  for (int64_t i = 0; i < rows; ++i) {
    const Vec decay = hn::Set(d, chunk.decay_in[i]), beta = hn::Set(d, chunk.beta[i]);
    for (int64_t c = 0; c < kColumns; c += n) {
      const Vec value = hn::LoadU(d, values + i * value_stride + c);
      float* const at = news + i * kColumns + c;
      hn::StoreU(hn::Mul(beta, hn::NegMulAdd(decay, hn::LoadU(d, at), value)), d, at);
    }
  }
  triangular_product<true, false>(chunk.mixing, news, news, kColumns, rows);
  // O = diag(e^gamma) Q S + P N
  product<F32Source, Start::kZero, false>(state, dim, chunk.queries, chunk.query_stride, 1, out,
                                          out_stride, rows);
  for (int64_t i = 0; i < rows; ++i) scale_row(out + i * out_stride, chunk.decay_in[i]);
  triangular_product<false, true>(chunk.attention, news, out, out_stride, rows);
  // S = e^gamma_last S + K^T diag(e^(gamma_last - gamma)) N
  for (int64_t i = 0; i < rows; ++i) scale_row(news + i * kColumns, chunk.decay_out[i]);
  for (int64_t k = 0; k < dim; ++k) scale_row(state + k * kColumns, chunk.decay_in[rows - 1]);
  product<F32Source, Start::kOut, false>(news, rows, chunk.keys, 1, chunk.key_stride, state,
                                         kColumns, dim);
}

}  // namespace

const GdnKernels& gdn_kernel_table() {
  static constexpr GdnKernels kTable = {apply_rows, prepare_chunk, apply_chunk};
  return kTable;
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice::cpu {
const GdnKernels& gdn_kernels(InstructionSet set) { SLUICE_PICK_TARGET(set, gdn_kernel_table) }
}  // namespace sluice::cpu
#endif
