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

// Sums over the keys of two vectors of columns. Even and odd keys are summed apart, which halves
// the chain of dependent products, and joined as even + odd.
struct Sums {
  Vec even[2], odd[2];

  HWY_INLINE Vec joined(int v) const { return hn::Add(even[v], odd[v]); }
};

HWY_INLINE Sums zero_sums() {
  const Vec zero = hn::Zero(F32());
  return {{zero, zero}, {zero, zero}};
}

// Asks for the next block, a few lines for every two keys, spread over all sweeps over this block:
// otherwise the memory would rest while a block is worked on in cache. Towards the second level,
// since the first holds this block and its copy.
class Fetch {
 public:
  HWY_INLINE Fetch(const float* next, int64_t key_dim, int64_t sweeps)
      : at_(next),
        end_(next == nullptr ? nullptr : next + key_dim * kStateColumns),
        lines_(sweeps >= 4 ? 1 : 4 / static_cast<int>(sweeps)) {}

  HWY_INLINE void some() {
    if (at_ == end_) return;
    for (int line = 0; line < lines_ && at_ != end_; ++line, at_ += kLineFloats) {
      __builtin_prefetch(at_, 0, 2);
    }
  }

 private:
  static constexpr int64_t kLineFloats = 16;
  const float* at_;
  const float* end_;
  int lines_;
};

// e^g S + k d^T, for two vectors of columns of one key.
HWY_INLINE void update(Vec state[2], Vec decay, float key, const Vec change[2]) {
  const Vec k = hn::Set(F32(), key);
  state[0] = hn::MulAdd(k, change[0], hn::Mul(decay, state[0]));
  state[1] = hn::MulAdd(k, change[1], hn::Mul(decay, state[1]));
}

HWY_INLINE void accumulate(Vec sum[2], float factor, const Vec state[2]) {
  const Vec f = hn::Set(F32(), factor);
  sum[0] = hn::MulAdd(f, state[0], sum[0]);
  sum[1] = hn::MulAdd(f, state[1], sum[1]);
}

HWY_INLINE void load_two(const float* from, Vec to[2]) {
  to[0] = hn::LoadU(F32(), from);
  to[1] = hn::LoadU(F32(), from + lanes());
}

HWY_INLINE void store_two(const Vec from[2], float* to) {
  hn::StoreU(from[0], F32(), to);
  hn::StoreU(from[1], F32(), to + lanes());
}

// Adds kRows pending rows to the state in one pass, which also sums S^T key for the first new row.
template <int kRows, bool kPredict>
HWY_INLINE void commit_pass(const DeltaRow* pending, int64_t column, int64_t key_dim, float* state,
                            const float* key, Fetch& fetch, Sums& prediction) {
  const F32 d;
  Vec decay[kRows + 1], change[kRows + 1][2];
  for (int r = 0; r < kRows; ++r) {
    decay[r] = hn::Set(d, pending[r].decay);
    load_two(pending[r].change + column, change[r]);
  }
  const auto one = [&](int64_t i, Vec sum[2]) HWY_ATTR {
    Vec s[2];
    float* const at = state + i * kStateColumns + column;
    load_two(at, s);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) update(s, decay[r], pending[r].key[i], change[r]);
    if constexpr (kRows > 0) store_two(s, at);
    if constexpr (kPredict) accumulate(sum, key[i], s);
  };
  int64_t i = 0;
  for (; i + 2 <= key_dim; i += 2) {
    fetch.some();
    one(i, prediction.even);
    one(i + 1, prediction.odd);
  }
  if (i < key_dim) one(i, prediction.even);
}

// Computes a new row from its prediction; with kNext also stores the state after it and sums the
// prediction of the row that follows.
template <bool kNext>
HWY_INLINE void row_pass(const DeltaRow& row, const DeltaRow* after, int64_t column,
                         int64_t key_dim, const float* from, float* to, Fetch& fetch,
                         Sums& prediction) {
  const F32 d;
  const int64_t n = lanes();
  const Vec decay = hn::Set(d, row.decay);
  Vec change[2];
  for (int v = 0; v < 2; ++v) {
    const Vec value = hn::LoadU(d, row.value + column + v * n);
    const Vec error = hn::NegMulAdd(decay, prediction.joined(v), value);
    change[v] = hn::Mul(hn::Set(d, row.beta), error);
  }
  store_two(change, row.change + column);
  Sums out = zero_sums();
  prediction = zero_sums();
  const auto one = [&](int64_t i, Vec sum[2], Vec predicted[2]) HWY_ATTR {
    Vec s[2];
    load_two(from + i * kStateColumns + column, s);
    update(s, decay, row.key[i], change);
    accumulate(sum, row.query[i], s);
    if constexpr (kNext) {
      store_two(s, to + i * kStateColumns + column);
      accumulate(predicted, after->key[i], s);
    }
  };
  static_cast<void>(to);
  static_cast<void>(after);
  int64_t i = 0;
  for (; i + 2 <= key_dim; i += 2) {
    fetch.some();
    one(i, out.even, prediction.even);
    one(i + 1, out.odd, prediction.odd);
  }
  if (i < key_dim) one(i, out.even, prediction.even);
  for (int v = 0; v < 2; ++v) hn::StoreU(out.joined(v), d, row.out + column + v * n);
}

template <bool kPredict>
HWY_INLINE void commit_rows(const DeltaRow* pending, int64_t count, int64_t column, int64_t key_dim,
                            float* state, const float* key, Fetch& fetch, Sums& prediction) {
  for (; count > 4; pending += 4, count -= 4) {
    commit_pass<4, false>(pending, column, key_dim, state, nullptr, fetch, prediction);
  }
  switch (count) {
    case 0:
      return commit_pass<0, kPredict>(pending, column, key_dim, state, key, fetch, prediction);
    case 1:
      return commit_pass<1, kPredict>(pending, column, key_dim, state, key, fetch, prediction);
    case 2:
      return commit_pass<2, kPredict>(pending, column, key_dim, state, key, fetch, prediction);
    case 3:
      return commit_pass<3, kPredict>(pending, column, key_dim, state, key, fetch, prediction);
    default:
      return commit_pass<4, kPredict>(pending, column, key_dim, state, key, fetch, prediction);
  }
}

void apply_rows(const DeltaRow* pending, int64_t committed, const DeltaRow* rows, int64_t count,
                int64_t key_dim, float* state, float* scratch, const float* next) {
  const int64_t groups = kStateColumns / (2 * lanes());
  Fetch fetch(next, key_dim, groups * (1 + count));
  for (int64_t column = 0; column < kStateColumns; column += 2 * lanes()) {
    Sums prediction = zero_sums();
    if (count == 0) {
      commit_rows<false>(pending, committed, column, key_dim, state, nullptr, fetch, prediction);
      continue;
    }
    commit_rows<true>(pending, committed, column, key_dim, state, rows[0].key, fetch, prediction);
    const float* from = state;
    for (int64_t r = 0; r + 1 < count; ++r) {
      row_pass<true>(rows[r], rows + r + 1, column, key_dim, from, scratch, fetch, prediction);
      from = scratch;
    }
    row_pass<false>(rows[count - 1], nullptr, column, key_dim, from, nullptr, fetch, prediction);
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
