#include "tools/distill/delta_rule.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "tools/distill/blas.h"

namespace sluice::distill {
namespace {

constexpr int64_t kC = kDeltaChunk;
constexpr double kL2Epsilon = 1e-6;

// One chunk of one key head: normalised keys and queries and their products, shared by the value
// heads of the group. K and Q lie in one block [2C, dk], so that one product with S serves both.
template <typename T>
struct KeyChunk {
  int64_t rows = 0;
  std::vector<T> kq;                // [2 * kC, dk]: k in rows 0 .., scaled q in rows kC ..
  std::vector<T> k_scale, q_scale;  // what the raw row was multiplied by
  std::vector<T> kk, qk;            // [kC, kC]

  explicit KeyChunk(int64_t key_dim)
      : kq(static_cast<size_t>(2 * kC * key_dim)),
        k_scale(kC),
        q_scale(kC),
        kk(kC * kC),
        qk(kC * kC) {}
  T* k() { return kq.data(); }
  T* q(int64_t key_dim) { return kq.data() + kC * key_dim; }
};

template <typename T>
T normalise(int64_t width, const T* from, T scale, T* to) {
  T square = 0;
  for (int64_t i = 0; i < width; ++i) square += from[i] * from[i];
  const T factor = scale / std::sqrt(square + static_cast<T>(kL2Epsilon));
  for (int64_t i = 0; i < width; ++i) to[i] = from[i] * factor;
  return factor;
}

template <typename T>
void load_keys(const DeltaShape& shape, const T* qkv, int64_t first, int64_t rows, int64_t head,
               KeyChunk<T>& chunk) {
  const int64_t dk = shape.key_dim, stride = shape.channels();
  chunk.rows = rows;
  const T query_scale = T(1) / std::sqrt(static_cast<T>(dk));
  for (int64_t i = 0; i < rows; ++i) {
    const T* row = qkv + (first + i) * stride;
    chunk.q_scale[static_cast<size_t>(i)] =
        normalise(dk, row + head * dk, query_scale, chunk.q(dk) + i * dk);
    chunk.k_scale[static_cast<size_t>(i)] =
        normalise(dk, row + (shape.key_heads + head) * dk, T(1), chunk.k() + i * dk);
  }
  gemm<T>(Side::kPlain, Side::kTransposed, rows, rows, dk, T(1), chunk.k(), dk, chunk.k(), dk, T(0),
          chunk.kk.data(), kC);
  gemm<T>(Side::kPlain, Side::kTransposed, rows, rows, dk, T(1), chunk.q(dk), dk, chunk.k(), dk,
          T(0), chunk.qk.data(), kC);
}

// Decays within a chunk of one value head, with gamma_i the sum of g up to and with row i.
template <typename T>
struct Decay {
  std::vector<T> entry = std::vector<T>(kC);  // exp(gamma_i): from the chunk's entry to row i
  std::vector<T> exit = std::vector<T>(kC);   // exp(gamma_last - gamma_i): from row i to the end
  std::vector<T> beta = std::vector<T>(kC);
  std::vector<T> pair = std::vector<T>(kC * kC);  // D_ij = exp(gamma_i - gamma_j), i >= j
  T whole = 1;

  void load(int64_t rows, const T* g, const T* betas, int64_t stride) {
    T gamma[kC];
    T sum = 0;
    for (int64_t i = 0; i < rows; ++i) {
      sum += g[i * stride];
      gamma[i] = sum;
      beta[static_cast<size_t>(i)] = betas[i * stride];
    }
    whole = std::exp(sum);
    for (int64_t i = 0; i < rows; ++i) {
      entry[static_cast<size_t>(i)] = std::exp(gamma[i]);
      exit[static_cast<size_t>(i)] = std::exp(sum - gamma[i]);
      T* row = pair.data() + i * kC;
      // A product of neighbours instead of an exponential each: 64 calls instead of 2,080. The
      // factors are at most 1, so it cannot overflow; it underflows where the exponential would.
      row[i] = 1;
      const T step = i == 0 ? T(1) : std::exp(g[i * stride]);
      const T* above = row - kC;
      for (int64_t j = 0; j < i; ++j) row[j] = above[j] * step;
    }
  }
};

// Buffers for one chunk of one value head.
template <typename T>
struct Blocks {
  std::vector<T> both;  // [2C, dv]: K S, then Q S
  std::vector<T> a = std::vector<T>(kC * kC), p = std::vector<T>(kC * kC);
  std::vector<T> weighted;  // [C, max(dk, dv)]

  explicit Blocks(const DeltaShape& shape)
      : both(static_cast<size_t>(2 * kC * shape.value_dim)),
        weighted(static_cast<size_t>(kC * std::max(shape.key_dim, shape.value_dim))) {}
};

// A (strictly lower) and P = Q K^T with decay (lower, diagonal included; zero above).
template <typename T>
void weigh_pairs(const KeyChunk<T>& keys, const Decay<T>& decay, T* a, T* p) {
  for (int64_t i = 0; i < keys.rows; ++i) {
    const T* kk = keys.kk.data() + i * kC;
    const T* qk = keys.qk.data() + i * kC;
    const T* d = decay.pair.data() + i * kC;
    const T beta = decay.beta[static_cast<size_t>(i)];
    for (int64_t j = 0; j < i; ++j) {
      a[i * kC + j] = beta * kk[j] * d[j];
      p[i * kC + j] = qk[j] * d[j];
    }
    p[i * kC + i] = qk[i];
    for (int64_t j = i + 1; j < keys.rows; ++j) p[i * kC + j] = 0;
  }
}

template <typename T>
void scale_rows(int64_t rows, int64_t width, const T* from, int64_t stride, const T* factors,
                T* to) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < width; ++j) to[i * width + j] = from[i * stride + j] * factors[i];
  }
}

template <typename T>
class ForwardPass {
 public:
  ForwardPass(const DeltaShape& shape, const T* qkv, const T* g, const T* beta, T* out, T* written,
              T* states)
      : shape_(shape),
        qkv_(qkv),
        g_(g),
        beta_(beta),
        out_(out),
        written_(written),
        states_(states),
        keys_(shape.key_dim),
        blocks_(shape),
        state_(static_cast<size_t>(shape.value_heads * shape.key_dim * shape.value_dim)) {}

  void segment(Segment segment) {
    std::fill(state_.begin(), state_.end(), T(0));
    for (int64_t first = segment.begin; first < segment.end; first += kC) {
      std::copy(state_.begin(), state_.end(), states_);
      states_ += state_.size();
      const int64_t rows = std::min(kC, segment.end - first);
      const int64_t group = shape_.value_heads / shape_.key_heads;
      for (int64_t head = 0; head < shape_.key_heads; ++head) {
        load_keys(shape_, qkv_, first, rows, head, keys_);
        for (int64_t i = 0; i < group; ++i) value_head(first, head * group + i);
      }
    }
  }

 private:
  void value_head(int64_t first, int64_t head) {
    const int64_t dk = shape_.key_dim, dv = shape_.value_dim, rows = keys_.rows;
    const int64_t heads = shape_.value_heads, width = heads * dv;
    T* state = state_.data() + head * dk * dv;
    decay_.load(rows, g_ + first * heads + head, beta_ + first * heads + head, heads);
    weigh_pairs(keys_, decay_, blocks_.a.data(), blocks_.p.data());
    T* ks = blocks_.both.data();
    T* qs = ks + kC * dv;
    gemm<T>(Side::kPlain, Side::kPlain, kC + rows, dv, dk, T(1), keys_.k(), dk, state, dv, T(0), ks,
            dv);
    const T* v = qkv_ + first * shape_.channels() + 2 * shape_.key_heads * dk + head * dv;
    T* n = written_ + first * width + head * dv;
    T* out = out_ + first * width + head * dv;
    for (int64_t i = 0; i < rows; ++i) {
      const T entry = decay_.entry[static_cast<size_t>(i)];
      const T beta = decay_.beta[static_cast<size_t>(i)];
      for (int64_t j = 0; j < dv; ++j) {
        n[i * width + j] = beta * (v[i * shape_.channels() + j] - entry * ks[i * dv + j]);
        out[i * width + j] = entry * qs[i * dv + j];
      }
    }
    solve_unit_lower<T>(Side::kPlain, rows, dv, blocks_.a.data(), kC, n, width);
    gemm<T>(Side::kPlain, Side::kPlain, rows, dv, rows, T(1), blocks_.p.data(), kC, n, width, T(1),
            out, width);
    scale_rows(rows, dk, keys_.k(), dk, decay_.exit.data(), blocks_.weighted.data());
    gemm<T>(Side::kTransposed, Side::kPlain, dk, dv, rows, T(1), blocks_.weighted.data(), dk, n,
            width, decay_.whole, state, dv);
  }

  const DeltaShape& shape_;
  const T *qkv_, *g_, *beta_;
  T *out_, *written_, *states_;
  KeyChunk<T> keys_;
  Decay<T> decay_;
  Blocks<T> blocks_;
  std::vector<T> state_;
};

// The reverse of ForwardPass, chunk by chunk from the end. With R = beta (v - e K S), N = (I+A)^-1
// R, O = e Q S + P N and S' = e_C S + K^T x N, the comments below name what each product is.
template <typename T>
class BackwardPass {
 public:
  BackwardPass(const DeltaShape& shape, const T* qkv, const T* g, const T* beta, const T* dout,
               const T* written, T* dqkv, T* dg, T* dbeta)
      : shape_(shape),
        qkv_(qkv),
        g_(g),
        beta_(beta),
        dout_(dout),
        written_(written),
        dqkv_(dqkv),
        dg_(dg),
        dbeta_(dbeta),
        keys_(shape.key_dim),
        blocks_(shape),
        dn_(static_cast<size_t>(kC * shape.value_dim)),
        both_(static_cast<size_t>(2 * kC * shape.value_dim)),
        dkq_(static_cast<size_t>(2 * kC * shape.key_dim)),
        dexit_(static_cast<size_t>(kC * shape.key_dim)),
        dstate_(static_cast<size_t>(shape.value_heads * shape.key_dim * shape.value_dim)) {}

  // `states`: the chunk entry states of this segment.
  void segment(Segment segment, const T* states) {
    std::fill(dstate_.begin(), dstate_.end(), T(0));
    const int64_t chunks = (segment.length() + kC - 1) / kC;
    const int64_t group = shape_.value_heads / shape_.key_heads;
    for (int64_t chunk = chunks - 1; chunk >= 0; --chunk) {
      const int64_t first = segment.begin + chunk * kC;
      const int64_t rows = std::min(kC, segment.end - first);
      const T* entry_states = states + chunk * static_cast<int64_t>(dstate_.size());
      for (int64_t head = 0; head < shape_.key_heads; ++head) {
        load_keys(shape_, qkv_, first, rows, head, keys_);
        std::fill(dkk_.begin(), dkk_.end(), T(0));
        std::fill(dqk_.begin(), dqk_.end(), T(0));
        std::fill(dkq_.begin(), dkq_.end(), T(0));
        for (int64_t i = 0; i < group; ++i) {
          const int64_t value_head_index = head * group + i;
          value_head(first, value_head_index,
                     entry_states + value_head_index * shape_.key_dim * shape_.value_dim);
        }
        finish_keys(first, head);
      }
    }
  }

 private:
  void value_head(int64_t first, int64_t head, const T* state) {
    const int64_t dk = shape_.key_dim, dv = shape_.value_dim, rows = keys_.rows;
    const int64_t heads = shape_.value_heads, width = heads * dv;
    T* dstate = dstate_.data() + head * dk * dv;
    decay_.load(rows, g_ + first * heads + head, beta_ + first * heads + head, heads);
    weigh_pairs(keys_, decay_, blocks_.a.data(), blocks_.p.data());
    gemm<T>(Side::kPlain, Side::kPlain, kC + rows, dv, dk, T(1), keys_.k(), dk, state, dv, T(0),
            blocks_.both.data(), dv);
    const T* n = written_ + first * width + head * dv;
    const T* dout = dout_ + first * width + head * dv;

    // dN = P^T dO + x (K dS'), then dR = (I+A)^-T dN in its place.
    gemm<T>(Side::kPlain, Side::kPlain, rows, dv, dk, T(1), keys_.k(), dk, dstate, dv, T(0),
            dn_.data(), dv);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < dv; ++j)
        dn_[static_cast<size_t>(i * dv + j)] *= decay_.exit[static_cast<size_t>(i)];
    }
    gemm<T>(Side::kTransposed, Side::kPlain, rows, dv, rows, T(1), blocks_.p.data(), kC, dout,
            width, T(1), dn_.data(), dv);
    solve_unit_lower<T>(Side::kTransposed, rows, dv, blocks_.a.data(), kC, dn_.data(), dv);

    std::fill(dgamma_.begin(), dgamma_.end(), T(0));
    pair_gradients(first, head, n, dout);
    // N dS'^T: with x it is the gradient of k through the state, and its product with k that of x.
    gemm<T>(Side::kPlain, Side::kTransposed, rows, dk, dv, T(1), n, width, dstate, dv, T(0),
            dexit_.data(), dk);
    exit_gradients(state, dstate);
    entry_gradients(first, head, dout);
    // both_ = [dKS; dQS]: gradients of K S and Q S. dS = e_C dS' + [K; Q]^T both; d[K; Q] += both
    // S^T.
    gemm<T>(Side::kPlain, Side::kTransposed, kC + rows, dk, dv, T(1), both_.data(), dv, state, dv,
            T(1), dkq_.data(), dk);
    gemm<T>(Side::kTransposed, Side::kPlain, dk, dv, rows, T(1), keys_.k(), dk, both_.data(), dv,
            decay_.whole, dstate, dv);
    gemm<T>(Side::kTransposed, Side::kPlain, dk, dv, rows, T(1), keys_.q(dk), dk,
            both_.data() + kC * dv, dv, T(1), dstate, dv);
    T sum = 0;
    for (int64_t i = rows - 1; i >= 0; --i) {
      sum += dgamma_[static_cast<size_t>(i)];
      dg_[(first + i) * heads + head] = sum;
    }
  }

  // dP = dO N^T and dA = -dR N^T, spread over Q K^T, K K^T, beta and the decays.
  void pair_gradients(int64_t first, int64_t head, const T* n, const T* dout) {
    const int64_t dv = shape_.value_dim, rows = keys_.rows;
    const int64_t width = shape_.value_heads * dv;
    gemm<T>(Side::kPlain, Side::kTransposed, rows, rows, dv, T(1), dout, width, n, width, T(0),
            dp_.data(), kC);
    gemm<T>(Side::kPlain, Side::kTransposed, rows, rows, dv, T(-1), dn_.data(), dv, n, width, T(0),
            da_.data(), kC);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t at = i * kC;
      const T beta = decay_.beta[static_cast<size_t>(i)];
      T row_gamma = 0, row_beta = 0;
      for (int64_t j = 0; j < i; ++j) {
        const auto ij = static_cast<size_t>(at + j);
        const T d = decay_.pair[ij], dp = dp_[ij] * d, da = da_[ij] * d;
        dqk_[ij] += dp;
        dkk_[ij] += da * beta;
        row_beta += da * keys_.kk[ij];
        const T through = dp * keys_.qk[ij] + da * beta * keys_.kk[ij];
        row_gamma += through;
        dgamma_[static_cast<size_t>(j)] -= through;
      }
      dqk_[static_cast<size_t>(at + i)] += dp_[static_cast<size_t>(at + i)];
      dgamma_[static_cast<size_t>(i)] += row_gamma;
      dbeta_[(first + i) * shape_.value_heads + head] = row_beta;
    }
  }

  void exit_gradients(const T* state, const T* dstate) {
    const int64_t dk = shape_.key_dim, dv = shape_.value_dim, rows = keys_.rows;
    T all = 0;
    for (int64_t i = 0; i < rows; ++i) {
      const T exit = decay_.exit[static_cast<size_t>(i)];
      const T* k = keys_.k() + i * dk;
      T dot = 0;
      for (int64_t j = 0; j < dk; ++j) {
        const T value = dexit_[static_cast<size_t>(i * dk + j)];
        dot += value * k[j];
        dkq_[static_cast<size_t>(i * dk + j)] += exit * value;
      }
      dgamma_[static_cast<size_t>(i)] -= dot * exit;
      all += dot * exit;
    }
    T whole = 0;
    for (int64_t i = 0; i < dk * dv; ++i) whole += state[i] * dstate[i];
    dgamma_[static_cast<size_t>(rows - 1)] += all + whole * decay_.whole;
  }

  // Through R = beta (v - e K S) and O = e Q S; leaves [dKS; dQS] in both_.
  void entry_gradients(int64_t first, int64_t head, const T* dout) {
    const int64_t dk = shape_.key_dim, dv = shape_.value_dim, rows = keys_.rows;
    const int64_t stride = shape_.channels(), width = shape_.value_heads * dv;
    const int64_t v_at = first * stride + 2 * shape_.key_heads * dk + head * dv;
    const T* ks = blocks_.both.data();
    const T* qs = ks + kC * dv;
    for (int64_t i = 0; i < rows; ++i) {
      const T entry = decay_.entry[static_cast<size_t>(i)];
      const T beta = decay_.beta[static_cast<size_t>(i)];
      T dbeta = 0, dentry = 0;
      for (int64_t j = 0; j < dv; ++j) {
        const T dr = dn_[static_cast<size_t>(i * dv + j)];
        const T predicted = ks[i * dv + j];
        dbeta += dr * (qkv_[v_at + i * stride + j] - entry * predicted);
        dentry += dout[i * width + j] * qs[i * dv + j] - beta * dr * predicted;
        dqkv_[v_at + i * stride + j] = beta * dr;
        both_[static_cast<size_t>(i * dv + j)] = -beta * entry * dr;
        both_[static_cast<size_t>((kC + i) * dv + j)] = entry * dout[i * width + j];
      }
      dbeta_[(first + i) * shape_.value_heads + head] += dbeta;
      dgamma_[static_cast<size_t>(i)] += dentry * entry;
    }
    // Rows between the two halves of a short chunk are not gradients of anything.
    std::fill(both_.begin() + rows * dv, both_.begin() + kC * dv, T(0));
  }

  // What the value heads of the group sent to q and k, through the norms.
  void finish_keys(int64_t first, int64_t head) {
    const int64_t dk = shape_.key_dim, rows = keys_.rows, stride = shape_.channels();
    T* dk_rows = dkq_.data();
    T* dq_rows = dk_rows + kC * dk;
    gemm<T>(Side::kPlain, Side::kPlain, rows, dk, rows, T(1), dqk_.data(), kC, keys_.k(), dk, T(1),
            dq_rows, dk);
    gemm<T>(Side::kTransposed, Side::kPlain, rows, dk, rows, T(1), dqk_.data(), kC, keys_.q(dk), dk,
            T(1), dk_rows, dk);
    for (int64_t i = 0; i < rows; ++i) {  // K K^T is symmetric: both sides in one product
      for (int64_t j = 0; j < i; ++j)
        dkk_[static_cast<size_t>(j * kC + i)] = dkk_[static_cast<size_t>(i * kC + j)];
    }
    gemm<T>(Side::kPlain, Side::kPlain, rows, dk, rows, T(1), dkk_.data(), kC, keys_.k(), dk, T(1),
            dk_rows, dk);
    const T query_scale = T(1) / std::sqrt(static_cast<T>(dk));
    for (int64_t i = 0; i < rows; ++i) {
      T* row = dqkv_ + (first + i) * stride;
      unnormalise(keys_.q(dk) + i * dk, keys_.q_scale[static_cast<size_t>(i)], query_scale,
                  dq_rows + i * dk, row + head * dk);
      unnormalise(keys_.k() + i * dk, keys_.k_scale[static_cast<size_t>(i)], T(1), dk_rows + i * dk,
                  row + (shape_.key_heads + head) * dk);
    }
  }

  // y = x * factor with factor = scale / sqrt(x^2 + eps): dx = factor dy - y (y . dy) factor /
  // scale^2.
  void unnormalise(const T* y, T factor, T scale, const T* dy, T* dx) const {
    const int64_t dk = shape_.key_dim;
    T dot = 0;
    for (int64_t j = 0; j < dk; ++j) dot += y[j] * dy[j];
    const T shrink = dot * factor / (scale * scale);
    for (int64_t j = 0; j < dk; ++j) dx[j] = factor * dy[j] - y[j] * shrink;
  }

  const DeltaShape& shape_;
  const T *qkv_, *g_, *beta_, *dout_, *written_;
  T *dqkv_, *dg_, *dbeta_;
  KeyChunk<T> keys_;
  Decay<T> decay_;
  Blocks<T> blocks_;
  std::vector<T> dn_;    // [C, dv]
  std::vector<T> both_;  // [2C, dv]
  std::vector<T> dkq_;   // [2C, dk]
  std::vector<T> dexit_;
  std::vector<T> dstate_;
  std::vector<T> dp_ = std::vector<T>(kC * kC), da_ = std::vector<T>(kC * kC);
  std::vector<T> dkk_ = std::vector<T>(kC * kC), dqk_ = std::vector<T>(kC * kC);
  std::vector<T> dgamma_ = std::vector<T>(kC);
};

}  // namespace

int64_t delta_chunks(std::span<const Segment> segments) {
  int64_t chunks = 0;
  for (const Segment& segment : segments) chunks += (segment.length() + kC - 1) / kC;
  return chunks;
}

template <typename T>
void delta_rule_forward(const DeltaShape& shape, std::span<const Segment> segments, const T* qkv,
                        const T* g, const T* beta, T* out, DeltaTrace<T> trace) {
  ForwardPass<T> pass(shape, qkv, g, beta, out, trace.written, trace.states);
  for (const Segment& segment : segments) pass.segment(segment);
}

template <typename T>
void delta_rule_backward(const DeltaShape& shape, std::span<const Segment> segments, const T* qkv,
                         const T* g, const T* beta, DeltaTrace<T> trace, const T* dout, T* dqkv,
                         T* dg, T* dbeta) {
  const int64_t state = shape.value_heads * shape.key_dim * shape.value_dim;
  BackwardPass<T> pass(shape, qkv, g, beta, dout, trace.written, dqkv, dg, dbeta);
  const T* states = trace.states;
  for (const Segment& segment : segments) {
    pass.segment(segment, states);
    states += delta_chunks({&segment, 1}) * state;
  }
}

template void delta_rule_forward(const DeltaShape&, std::span<const Segment>, const float*,
                                 const float*, const float*, float*, DeltaTrace<float>);
template void delta_rule_forward(const DeltaShape&, std::span<const Segment>, const double*,
                                 const double*, const double*, double*, DeltaTrace<double>);
template void delta_rule_backward(const DeltaShape&, std::span<const Segment>, const float*,
                                  const float*, const float*, DeltaTrace<float>, const float*,
                                  float*, float*, float*);
template void delta_rule_backward(const DeltaShape&, std::span<const Segment>, const double*,
                                  const double*, const double*, DeltaTrace<double>, const double*,
                                  double*, double*, double*);

}  // namespace sluice::distill
