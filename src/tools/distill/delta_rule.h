// The gated delta rule over whole samples, chunked, forward and backward (architecture.md 4.6).
//
// Samples lie one after another without padding. Each has its own chunk grid and starts from the
// zero state, so nothing can bleed from one into the next and no mask is needed.
#pragma once

#include <cstdint>
#include <span>

namespace sluice::distill {

// Half-open range of rows of one sample.
struct Segment {
  int64_t begin = 0, end = 0;
  int64_t length() const { return end - begin; }
};

struct DeltaShape {
  int64_t key_heads = 0, value_heads = 0, key_dim = 0, value_dim = 0;
  int64_t channels() const { return 2 * key_heads * key_dim + value_heads * value_dim; }
};

// Half of the reference's chunk: the work within a chunk grows with its square, and 32 x 32 products
// are still efficient (7.6 + 18.8 us a token and layer against 8.9 + 20.8 with 64, and 7.8 + 19.1
// with 16, on Zen 4 with 12 heads of 64). The result differs in rounding only.
inline constexpr int64_t kDeltaChunk = 32;

// Chunks of all segments together.
int64_t delta_chunks(std::span<const Segment> segments);

// What the forward pass keeps for the backward pass: the rows N (the recurrence's d), and the state
// on entry to each chunk, in order of segments and chunks. Borrowed.
template <typename T>
struct DeltaTrace {
  T* written = nullptr;  // [rows, value_heads, value_dim]
  T* states = nullptr;   // [delta_chunks(), value_heads, key_dim, value_dim]
};

// qkv: [rows, channels()] after convolution and SiLU, q and k not yet normalised; g (log decay) and
// beta: [rows, value_heads]; out: [rows, value_heads * value_dim].
template <typename T>
void delta_rule_forward(const DeltaShape& shape, std::span<const Segment> segments, const T* qkv,
                        const T* g, const T* beta, T* out, DeltaTrace<T> trace);

// Gradients of all inputs from that of `out`; all are written.
template <typename T>
void delta_rule_backward(const DeltaShape& shape, std::span<const Segment> segments, const T* qkv,
                         const T* g, const T* beta, DeltaTrace<T> trace, const T* dout, T* dqkv,
                         T* dg, T* dbeta);

}  // namespace sluice::distill
