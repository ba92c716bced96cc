// The interface of the arithmetic. Knows shapes, not devices: a backend under src/backend/ gives
// the functions and the memory; model code holds handles and never dereferences them.
//
// Every public operation checks its shapes once, here at the door, and then calls the backend's
// do_... All activations are F32, row-major. Operations are ordered: each sees the results of those
// before it. On a device they may run later than the call; download() waits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "ops/batch.h"
#include "tensor/matrix.h"

namespace sluice::ops {

class Backend;

// ----------------------------------------------------------------------------------------------
// memory

// A block of device memory. Owned by whoever holds the pointer; must not outlive its backend.
class DeviceBuffer {
 public:
  virtual ~DeviceBuffer() = default;
  size_t bytes() const { return bytes_; }

 protected:
  DeviceBuffer(void* address, size_t bytes) : address_(address), bytes_(bytes) {}

 private:
  friend class Backend;
  void* address_;
  size_t bytes_;
};

// F32 [rows, columns] inside a buffer; row r begins at element offset + r * stride. Borrows.
struct View {
  DeviceBuffer* buffer = nullptr;
  int64_t offset = 0;  // elements
  int64_t rows = 0, columns = 0;
  int64_t stride = 0;  // elements between rows

  bool empty() const { return buffer == nullptr; }
  View first_rows(int64_t count) const { return {buffer, offset, count, columns, stride}; }
  View row_range(int64_t first, int64_t count) const {
    return {buffer, offset + first * stride, count, columns, stride};
  }
  View column_range(int64_t first, int64_t count) const {
    return {buffer, offset + first, rows, count, stride};
  }
};

// A weight matrix the backend has taken in, W[rows = N, columns = K].
class Matrix {
 public:
  virtual ~Matrix() = default;
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  Format format() const { return format_; }
  size_t bytes() const {
    return bytes_;
  }  // memory of its own (a view into a file mapping counts 0)

 protected:
  Matrix(const EncodedMatrix& source, size_t bytes)
      : rows_(source.rows), columns_(source.columns), format_(source.format), bytes_(bytes) {}

 private:
  int64_t rows_, columns_;
  Format format_;
  size_t bytes_;
};

// What a matrix is for. A lookup table stays as it is stored and borrows the source's bytes (the
// mapping must outlive it); a product matrix may be repacked, and then borrows nothing.
enum class MatrixUse : uint8_t { kProduct, kLookup };

// Keys and values in pages of kGrid tokens. The order inside a page is the backend's own.
enum class KvFormat : uint8_t { kF32, kBF16, kFp8 };

struct KvSpec {
  int64_t layers = 0;  // attention layers, the draft head's included
  int64_t heads = 0;   // kv heads
  int64_t head_dim = 0;
  int64_t pages = 0;
  KvFormat format = KvFormat::kBF16;
  // Per layer, multiplied on read (spec/formats-safetensors.md 3.12); used by kFp8 only; empty
  // = 1.0.
  std::vector<float> key_scales, value_scales;

  size_t bytes_per_page() const;
};

class KvCache {
 public:
  virtual ~KvCache() = default;
  const KvSpec& spec() const { return spec_; }

 protected:
  explicit KvCache(KvSpec spec) : spec_(std::move(spec)) {}

 private:
  KvSpec spec_;
};

// Which key head a value head reads: consecutive value heads share one (published files), or every
// key_heads-th does (GGUF, spec/formats-gguf.md 3.1).
enum class HeadOrder : uint8_t { kGrouped, kTiled };

struct RecurrentSpec {
  int64_t layers = 0;  // GDN layers
  int64_t key_heads = 0, value_heads = 0, key_dim = 0, value_dim = 0;
  int64_t conv_kernel = 4;
  HeadOrder head_order = HeadOrder::kGrouped;
  int64_t slots = 0;
  int64_t pending_rows = 0;  // most rows of an answer segment: draft depth + 1

  int64_t key_width() const { return key_heads * key_dim; }
  int64_t value_width() const { return value_heads * value_dim; }
  int64_t conv_channels() const { return 2 * key_width() + value_width(); }
  // Of one slot: states, convolution columns, and the pending rows.
  size_t state_bytes() const;
  size_t pending_bytes() const;
  size_t layer_values() const;  // floats of one layer's state and columns
};

// Per slot and GDN layer: S [value_heads, key_dim, value_dim], the last conv_kernel - 1 columns of
// the raw convolution input, and up to pending_rows rows (normalized key, value, g, beta, raw
// convolution input) that were computed but not yet applied to the state: the deferred commit of
// design.md section 3.
class RecurrentState {
 public:
  virtual ~RecurrentState() = default;
  const RecurrentSpec& spec() const { return spec_; }

 protected:
  explicit RecurrentState(RecurrentSpec spec) : spec_(spec) {}

 private:
  RecurrentSpec spec_;
};

// A slot's committed state in one canonical order, whatever the backend's: per layer first S
// [value_heads, key_dim, value_dim], then columns [channels, conv_kernel - 1], oldest first. F32.
// Value heads in the model's own head order.
using RecurrentImage = std::vector<float>;

// -------------------------------------------------------------------------------------------
// arguments

struct EmbedArgs {
  const Matrix* table = nullptr;    // [vocabulary, H], kLookup
  std::span<const int32_t> tokens;  // one per row of out
  View out;                         // [rows, H]
};

// out = x * rsqrt(mean(x^2) + eps) * weight per row. With `delta`, first x += delta (in place).
// Zero-centred weights arrive as 1 + w: the model adds the 1 when it binds them.
struct RmsNormArgs {
  View x;       // [rows, D]; written only with delta
  View delta;   // [rows, D] or empty
  View weight;  // [1, D]
  float eps = 0;
  View out;  // [rows, D]; may be empty with delta: then only the addition is done
};

// Rows of a weight, or columns of its outputs: [first, end).
struct Range {
  int64_t first = 0, end = 0;
  bool empty() const { return first == end; }
  int64_t count() const { return end - first; }
};

struct Product {
  const Matrix* weight = nullptr;  // [N, K]
  View out;                        // [rows, N]
  // Outputs to make, each with the bits it has in the whole product; the others keep what they
  // hold. Begins and ends at multiples of kGrid, or at N. Nothing: all.
  Range part = {};
};

// Products of one input with several matrices, so that the input is prepared (quantized, reordered)
// once. The first `answer_rows` rows have the answer's role, the rest the prompt's.
struct MatmulArgs {
  View x;  // [rows, K]
  std::span<const Product> products;
  int64_t answer_rows = 0;
};

struct SwigluArgs {  // out = silu(gate) * up
  View gate, up, out;
};

// Splits the gated query projection, norms and rotates queries and keys, and writes keys and values
// to the cache. The rotary table is per dimension pair: inverse frequencies, the position component
// each pair uses (0 t, 1 h, 2 w), and the attention factor by which cos and sin are multiplied
// (YaRN; else 1).
struct RotaryTable {
  std::vector<float> inverse_frequencies;  // [rotary_dim / 2]
  std::vector<uint8_t> components;         // [rotary_dim / 2]
  float attention_factor = 1.0f;
};

struct AttentionInputArgs {
  const Batch* batch = nullptr;
  View query_gate;  // [rows, heads * 2 * head_dim]: per head the query, then the gate
  View key, value;  // [rows, kv_heads * head_dim]; key is overwritten by its normed, rotated form
  View query_norm, key_norm;  // [1, head_dim], 1 + w
  float eps = 0;
  const RotaryTable* rotary = nullptr;
  KvCache* cache = nullptr;
  int64_t layer = 0;  // index among the cache's layers
  View query;         // out [rows, heads * head_dim], normed and rotated
  // Optional copies for traces, before rotation; empty otherwise.
  View query_normed, key_normed;
};

struct AttentionArgs {
  const Batch* batch = nullptr;
  View query;  // [rows, heads * head_dim]
  KvCache* cache = nullptr;
  int64_t layer = 0;
  int64_t first_index = 0;  // cache indices below this are not attended to (1 for the draft head)
  View out;                 // [rows, heads * head_dim], before the gate
};

struct AttentionGateArgs {  // out = heads * sigmoid(gate), gate interleaved in query_gate
  View heads;               // [rows, heads * head_dim]
  View query_gate;          // [rows, heads * 2 * head_dim]
  int64_t head_dim = 0;
  View out;  // may be heads
};

// Causal depthwise convolution and SiLU over raw channels. Answer segments: commits the slot's
// accepted pending columns, computes, keeps the raw rows as pending. Prompt segments: commits,
// computes, writes the columns.
struct GdnConvArgs {
  const Batch* batch = nullptr;
  View raw;     // [rows, channels]
  View weight;  // [channels, conv_kernel]
  RecurrentState* state = nullptr;
  int64_t layer = 0;  // index among GDN layers
  View out;           // [rows, channels]
};

// q and k: L2 norm per head, eps 1e-6 added to the sum of squares; q then times key_dim^-1/2.
// beta = sigmoid(b); g = decay * softplus(a + dt_bias) with decay = -exp(A_log).
struct GdnInputArgs {
  View conv;            // [rows, channels]: q, k, v
  View a, b;            // [rows, value_heads]
  View decay, dt_bias;  // [1, value_heads]
  int64_t key_heads = 0, key_dim = 0;
  View query, key;  // out [rows, key_heads * key_dim]
  View beta, g;     // out [rows, value_heads]
};

// The delta rule (architecture.md 4.6). Answer segments: applies the accepted pending rows to the
// state in order, writes the state, computes the new rows by the sequential rule without writing,
// and keeps them as pending. Prompt segments: applies the accepted pending rows, then the chunked
// rule on the absolute grid of kGrid; a row's bits depend on the state at the grid point (or at the
// segment's first row) and on earlier rows of its chunk only; writes the state after the last row;
// nothing stays pending.
struct GdnDeltaArgs {
  const Batch* batch = nullptr;
  View query, key;  // [rows, key_heads * key_dim]
  View
      value;  // [rows, value_heads * value_dim], usually a column range of the convolution's output
  View beta, g;  // [rows, value_heads]
  RecurrentState* state = nullptr;
  int64_t layer = 0;
  View out;  // [rows, value_heads * value_dim]
};

struct GdnNormArgs {  // out = weight * rms_norm(core per head) * silu(z); weight without + 1
  View core, z;       // [rows, value_heads * value_dim]
  View weight;        // [1, value_dim]
  float eps = 0;
  View out;
};

struct GatherRowsArgs {
  View x;                         // [rows, D]
  std::span<const int32_t> rows;  // indices into x
  View out;                       // [rows.size(), D]
};

struct ArgmaxArgs {
  View logits;                // [rows, V]
  std::span<int32_t> tokens;  // out, one per row; the first maximum wins
  // Columns to look at: ascending, none empty. Nothing: all. A row without a number among them
  // gives the first column of the first range.
  std::span<const Range> among = {};
};

// ---------------------------------------------------------------------------------------------
// backend

// Activations of a product: kept (wide), one int8 digit per 32 (digit), as the build's recipe says
// (published), or a digit for codes of up to six bits and wide for those of eight (by format).
enum class ActivationMode : uint8_t { kWide, kDigit, kPublished, kByFormat };

struct BackendInfo {
  std::string name;             // "ref", "cpu"
  std::string instruction_set;  // "portable", "avx2", ... ; empty where it has no meaning
  ActivationMode activations = ActivationMode::kWide;
  KvFormat default_kv = KvFormat::kBF16;
  // How far ahead memory is asked for, by what; empty where it has no meaning. Measured by tune().
  std::string prefetch;
  int threads = 1;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual const BackendInfo& info() const = 0;

  // Memory. `bytes` are zero-filled. Errors: kDoesNotFit.
  virtual Result<std::unique_ptr<DeviceBuffer>> allocate(size_t bytes) = 0;
  void upload(const View& to, std::span<const float> values);  // to.rows * to.columns values
  std::vector<float> download(const View& from);               // row-major, dense; waits
  // The same into `values`, which keeps its memory from call to call: fresh memory for the logits
  // of every step costs as much as the step of a small model.
  void download(const View& from, std::vector<float>& values);

  // Weights. A format the backend has no kernel for is an error naming it.
  virtual Result<std::unique_ptr<Matrix>> load_matrix(const EncodedMatrix& source,
                                                      MatrixUse use) = 0;
  // Memory that load_matrix would take for such a matrix: the plan's figure. Only shape and format
  // are read.
  virtual size_t matrix_bytes(const EncodedMatrix& source, MatrixUse use) const = 0;
  // Called once a model's weights are in, with those for products: the backend may measure on them
  // what suits this machine. Changes no result. Takes milliseconds, and nothing for a small model.
  virtual void tune(std::span<const Matrix* const> /*products*/) {}
  // Scratch memory of the backend's own for steps of at most this many rows, with inputs up to this
  // wide.
  virtual size_t scratch_bytes(int64_t rows, int64_t max_columns) const = 0;
  virtual Status reserve_scratch(int64_t rows, int64_t max_columns) = 0;

  // State.
  virtual Result<std::unique_ptr<KvCache>> create_kv_cache(const KvSpec& spec) = 0;
  virtual Result<std::unique_ptr<RecurrentState>> create_recurrent_state(
      const RecurrentSpec& spec) = 0;
  virtual void reset_slot(RecurrentState& state, int64_t slot) = 0;  // zero state, nothing pending
  // Applies the first `commit` pending rows of every layer and forgets the others: bit-equal to
  // what the next step would do first.
  virtual void flush_slot(RecurrentState& state, int64_t slot, int64_t commit) = 0;
  // Copies a slot's committed state to a slot of the same or another state of the same model (their
  // slots and pending rows may differ). Nothing may be pending in `from_slot`; nothing is pending
  // in `to_slot` afterwards.
  virtual void copy_slot(const RecurrentState& from, int64_t from_slot, RecurrentState& to,
                         int64_t to_slot) = 0;
  virtual RecurrentImage export_slot(const RecurrentState& state, int64_t slot) = 0;
  virtual void import_slot(RecurrentState& state, int64_t slot, const RecurrentImage& image) = 0;
  // One layer of such an image: its state, then its columns. Nothing is pending in the layer after
  // an import. Both may be called beside operations of other threads that leave the slot alone.
  virtual void export_layer(const RecurrentState& state, int64_t slot, int64_t layer,
                            std::span<float> image) = 0;
  virtual void import_layer(RecurrentState& state, int64_t slot, int64_t layer,
                            std::span<const float> image) = 0;
  // Keys or values of one layer and the first `count` indices of a page list: F32 [count, heads,
  // head_dim] after the cache's rounding. For traces and tests.
  virtual std::vector<float> export_keys(const KvCache& cache, int64_t layer,
                                         std::span<const int32_t> pages, int64_t count) = 0;
  virtual std::vector<float> export_values(const KvCache& cache, int64_t layer,
                                           std::span<const int32_t> pages, int64_t count) = 0;
  // Copies a page (all layers), for branching.
  virtual void copy_page(KvCache& cache, int32_t from, int32_t to) = 0;
  // The bytes of a page (all layers, bytes_per_page() of them) in an order of the backend's own, to
  // keep them elsewhere and put them back, bit for bit, into a cache of the same spec. Both may be
  // called beside operations of other threads that leave the page alone.
  virtual void export_page(const KvCache& cache, int32_t page, std::span<std::byte> bytes) = 0;
  virtual void import_page(KvCache& cache, int32_t page, std::span<const std::byte> bytes) = 0;

  // Operations.
  void embed(const EmbedArgs& args);
  void rms_norm(const RmsNormArgs& args);
  void matmul(const MatmulArgs& args);
  void swiglu(const SwigluArgs& args);
  void attention_input(const AttentionInputArgs& args);
  void attention(const AttentionArgs& args);
  void attention_gate(const AttentionGateArgs& args);
  void gdn_conv(const GdnConvArgs& args);
  void gdn_input(const GdnInputArgs& args);
  void gdn_delta(const GdnDeltaArgs& args);
  void gdn_norm(const GdnNormArgs& args);
  void gather_rows(const GatherRowsArgs& args);
  void argmax(const ArgmaxArgs& args);

 protected:
  static float* address(const View& view) {
    return static_cast<float*>(view.buffer->address_) + view.offset;
  }

  virtual void do_upload(const View& to, std::span<const float> values) = 0;
  virtual void do_download(const View& from, std::span<float> values) = 0;
  virtual void do_embed(const EmbedArgs& args) = 0;
  virtual void do_rms_norm(const RmsNormArgs& args) = 0;
  virtual void do_matmul(const MatmulArgs& args) = 0;
  virtual void do_swiglu(const SwigluArgs& args) = 0;
  virtual void do_attention_input(const AttentionInputArgs& args) = 0;
  virtual void do_attention(const AttentionArgs& args) = 0;
  virtual void do_attention_gate(const AttentionGateArgs& args) = 0;
  virtual void do_gdn_conv(const GdnConvArgs& args) = 0;
  virtual void do_gdn_input(const GdnInputArgs& args) = 0;
  virtual void do_gdn_delta(const GdnDeltaArgs& args) = 0;
  virtual void do_gdn_norm(const GdnNormArgs& args) = 0;
  virtual void do_gather_rows(const GatherRowsArgs& args) = 0;
  virtual void do_argmax(const ArgmaxArgs& args) = 0;
};

}  // namespace sluice::ops
