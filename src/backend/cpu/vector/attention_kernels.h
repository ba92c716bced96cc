// Attention of one row's query heads with one page of one kv head, and the joining of partial
// results.
//
// Page layouts (this is their only definition besides kv_cache.cc, which writes them), elements of
// the cache's format:
//   keys    [2 halves of 32 tokens][head_dim][32 tokens]        scores have tokens in lanes
//   values  [blocks of 32 dims][64 tokens][32 dims of the block] outputs have dims in lanes;
//           the last block is narrower when head_dim is no multiple of 32
// Both inner loops then stream the page once from its first byte to its last.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cpu/detect.h"
#include "backend/cpu/product.h"
#include "ops/backend.h"

namespace sluice::cpu {

// Softmax so far: the sum of exponentials is relative to the largest score.
struct SoftmaxState {
  float maximum;
  float sum;
};

struct PageView {
  const std::byte* keys = nullptr;
  const std::byte* values = nullptr;
  ops::KvFormat format = ops::KvFormat::kF32;
  int64_t head_dim = 0;
  float score_scale = 1.0f;  // head_dim^-1/2 times the scale of the stored keys
  FetchDistance fetch = {};
  StreamEnd end = {};  // of keys and values, where the next page that is attended to begins
};

struct AttentionKernels {
  // Tokens [begin, end) of the page, begin < end <= 64, for `heads` query heads of one row that
  // share the kv head: queries [heads, head_dim], states [heads], out [heads, head_dim], all dense.
  // out stays unnormalized: the sum over tokens of e^(score - maximum) * value.
  void (*attend_page)(const PageView& page, const float* queries, int64_t heads, int64_t begin,
                      int64_t end, SoftmaxState* states, float* out);
  // Adds a partial result over later tokens to (states, out).
  void (*merge)(const SoftmaxState* partial_states, const float* partial, int64_t heads,
                int64_t head_dim, SoftmaxState* states, float* out);
  // out = out / sum * value_scale; zero where nothing was attended to.
  void (*finish)(const SoftmaxState* states, float value_scale, int64_t heads, int64_t head_dim,
                 float* out);
};

// How much smaller the kernels read a stored element of this format than it is; multiplies the
// scales of keys and values.
float stored_scale(ops::KvFormat format);

const AttentionKernels& attention_kernels(InstructionSet set);

}  // namespace sluice::cpu
