// The delta rule on one block of 32 value columns of one head (architecture.md 4.6).
//
// State layout: S [key_dim, value_dim] of a head lies as value_dim / 32 blocks [key_dim][32], so
// that a block of 16 KB (key_dim 128) is read from memory once and then worked on in the
// first-level cache. A narrower last block is copied to a padded one by the caller; kernels know 32
// columns only.
#pragma once

#include <cstdint>

#include "backend/cpu/detect.h"

namespace sluice::cpu {

inline constexpr int64_t kStateColumns = 32;

// One row of the sequential rule, seen from one block. With d = beta (v - e^g S^T k) the rule is
// S <- e^g S + k d^T, output S^T q.
struct DeltaRow {    // no initializers: thousands of short-lived arrays of these are made per step
  const float* key;  // [key_dim], normalized
  const float* query;  // [key_dim], scaled; of a new row only, like value, beta and out
  const float* value;  // [32]
  float* change;       // [32] d: written for a new row, read for a pending one
  float decay;         // e^g
  float beta;
  float* out;  // [32]
};

// A chunk of the chunked rule: what all blocks of a head share.
struct ChunkShared {
  int64_t rows = 0, key_dim = 0;  // rows <= 64
  const float* keys = nullptr;    // [rows, key_dim] of this head
  const float* queries = nullptr;
  int64_t key_stride = 0, query_stride = 0;  // floats between rows
  float* mixing = nullptr;                   // [64, 64] A: beta_i (k_i . k_j) D_ij, j < i
  float* attention = nullptr;                // [64, 64] (q_i . k_j) D_ij, j <= i
  float* transposed = nullptr;               // scratch [2][key_dim][32]
  float beta[64] = {};
  float decay_in[64] = {};   // e^gamma_i: from the chunk's entry to row i
  float decay_out[64] = {};  // e^(gamma_last - gamma_i): from row i to the chunk's end
};

struct GdnKernels {
  // Adds `committed` pending rows (key, change, decay) to `state`, in order, then computes `count`
  // new rows on `scratch` [key_dim][32], which is left undefined: outputs and changes. A pending
  // row's change is the one that was computed when it was new, so the state gets the same bits as
  // by decoding one row at a time; keeping it instead of the value makes a commit a sum of rank-one
  // terms, all in the one pass that reads the state. Changes of new rows may overwrite those of
  // pending ones. `next` (may be null) is fetched towards the cache meanwhile.
  void (*apply_rows)(const DeltaRow* pending, int64_t committed, const DeltaRow* rows,
                     int64_t count, int64_t key_dim, float* state, float* scratch,
                     const float* next);
  // Fills mixing, attention, decay_in, decay_out from keys, queries, beta and g [rows], g_stride
  // floats apart.
  void (*prepare_chunk)(ChunkShared& chunk, const float* g, int64_t g_stride);
  // Values [rows, 32] and outputs [rows, 32] with strides; `news` scratch [64][32].
  void (*apply_chunk)(const ChunkShared& chunk, const float* values, int64_t value_stride,
                      float* state, float* news, float* out, int64_t out_stride);
};

const GdnKernels& gdn_kernels(InstructionSet set);

}  // namespace sluice::cpu
