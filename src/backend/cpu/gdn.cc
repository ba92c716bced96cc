// The operations of a GDN layer (architecture.md 4.6), with the deferred commit of design.md
// section 3.
#include <algorithm>
#include <array>
#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/gdn_scratch.h"
#include "backend/cpu/parallel.h"
#include "base/check.h"

namespace sluice::cpu {
namespace {

// Channels of a convolution item: their taps and three rows stay in the first-level cache.
constexpr int64_t kConvBlock = 512;

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
// ln(1 + e^x), the identity above 20 (architecture.md 4.6).
double softplus(double x) { return x > 20.0 ? x : std::log1p(std::exp(x)); }

void check_commit(int64_t commit, int64_t pending) {
  SLUICE_CHECK(commit <= pending, "commit {} of {} pending rows", commit, pending);
}

// Channels [first, first + count) of one slot and layer.
struct ConvBlock {
  const LayerState& state;
  int64_t channels;  // of a whole row
  int64_t kept;      // conv_kernel - 1
  int64_t first, count;

  float* column(int64_t i) const { return state.columns + i * channels + first; }

  // The columns become the last `kept` of [columns | rows]; `row` gives the address of a row.
  template <typename RowOf>
  void push(int64_t rows, const RowOf& row) const {
    if (rows == 0) return;
    for (int64_t i = 0; i < kept; ++i) {  // ascending: a column is read before it is overwritten
      const int64_t from = rows + i;
      std::copy_n(from < kept ? column(from) : row(from - kept), count, column(i));
    }
  }

  void commit(int64_t rows) const {
    push(rows, [&](int64_t r) { return state.raw + r * channels + first; });
  }
};

void copy_padded(const float* from, int64_t from_stride, int64_t width, int64_t rows, float* to,
                 int64_t to_stride, int64_t to_width) {
  for (int64_t r = 0; r < rows; ++r) {
    std::copy_n(from + r * from_stride, width, to + r * to_stride);
    std::fill_n(to + r * to_stride + width, to_width - width, 0.0f);
  }
}

void copy_rows(const float* from, int64_t from_stride, int64_t width, int64_t rows, float* to,
               int64_t to_stride) {
  for (int64_t r = 0; r < rows; ++r) {
    std::copy_n(from + r * from_stride, width, to + r * to_stride);
  }
}

}  // namespace

// ---- convolution

void CpuBackend::do_gdn_conv(const ops::GdnConvArgs& args) {
  SlotStates& slots = own(*args.state);
  const ops::RecurrentSpec& spec = slots.spec();
  const Rows raw = rows_of(args.raw), weight = rows_of(args.weight), out = rows_of(args.out);
  SLUICE_CHECK(raw.data != out.data, "the convolution cannot run in place");
  const int64_t channels = spec.conv_channels(), taps = spec.conv_kernel, kept = taps - 1;
  const auto& segments = args.batch->segments;
  for (const ops::Segment& segment : segments) {
    check_commit(segment.commit, *slots.layer(segment.slot, args.layer).conv_pending);
  }

  const int64_t blocks = (channels + kConvBlock - 1) / kConvBlock;
  static_items(pool_, blocks, raw.rows * channels < kSerialFloats / 4, [&](int64_t item, int) {
    const int64_t first = item * kConvBlock, count = std::min(kConvBlock, channels - first);
    std::array<float, kMaxConvKernel * kConvBlock> transposed;
    rows_.transpose_taps(weight.row(first), weight.stride, count, taps, transposed.data(),
                         kConvBlock);
    for (const ops::Segment& segment : segments) {
      const LayerState state = slots.layer(segment.slot, args.layer);
      const ConvBlock block = {state, channels, kept, first, count};
      block.commit(segment.commit);
      const auto raw_row = [&](int64_t r) -> const float* {
        return r < 0 ? block.column(kept + r) : raw.row(segment.first_row + r) + first;
      };
      for (int64_t r = 0; r < segment.row_count; ++r) {
        std::array<const float*, kMaxConvKernel> rows;
        for (int64_t t = 0; t < taps; ++t) rows[static_cast<size_t>(t)] = raw_row(r - kept + t);
        rows_.convolve(rows.data(), transposed.data(), kConvBlock, taps,
                       out.row(segment.first_row + r) + first, count);
      }
      if (segment.role == ops::Role::kAnswer) {
        copy_rows(raw.row(segment.first_row) + first, raw.stride, count, segment.row_count,
                  state.raw + first, channels);
      } else {
        block.push(segment.row_count, raw_row);
      }
    }
  });
  for (const ops::Segment& segment : segments) {
    const LayerState state = slots.layer(segment.slot, args.layer);
    *state.conv_pending = segment.role == ops::Role::kAnswer ? segment.row_count : 0;
  }
}

// ---- norms and gates

void CpuBackend::do_gdn_input(const ops::GdnInputArgs& args) {
  const Rows conv = rows_of(args.conv), a = rows_of(args.a), b = rows_of(args.b),
             query = rows_of(args.query), key = rows_of(args.key), beta = rows_of(args.beta),
             g = rows_of(args.g);
  const float* const decay = rows_of(args.decay).data;
  const float* const dt_bias = rows_of(args.dt_bias).data;
  const int64_t dim = args.key_dim, width = args.key_heads * dim;
  const auto query_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(dim)));
  static_items(pool_, conv.rows, conv.rows * width < kSerialFloats, [&](int64_t r, int) {
    for (int64_t at = 0; at < width; at += dim) {
      rows_.l2_norm(conv.row(r) + at, query_scale, query.row(r) + at, dim);
      rows_.l2_norm(conv.row(r) + width + at, 1.0f, key.row(r) + at, dim);
    }
    // A few dozen values a row: double and the C library are exact and cheap enough.
    for (int64_t h = 0; h < a.columns; ++h) {
      const double x = static_cast<double>(a.row(r)[h]) + static_cast<double>(dt_bias[h]);
      beta.row(r)[h] = static_cast<float>(sigmoid(static_cast<double>(b.row(r)[h])));
      g.row(r)[h] = static_cast<float>(static_cast<double>(decay[h]) * softplus(x));
    }
  });
}

void CpuBackend::do_gdn_norm(const ops::GdnNormArgs& args) {
  const Rows core = rows_of(args.core), z = rows_of(args.z), out = rows_of(args.out);
  const float* const weight = rows_of(args.weight).data;
  const int64_t dim = args.weight.columns, heads = core.columns / dim;
  static_items(pool_, core.rows * heads, core.rows * core.columns < kSerialFloats / 2,
               [&](int64_t item, int) {
                 const int64_t r = item / heads, at = item % heads * dim;
                 rows_.gated_norm(core.row(r) + at, z.row(r) + at, weight, args.eps,
                                  out.row(r) + at, dim);
               });
}

// ---- delta rule

struct CpuBackend::DeltaRun {
  const SlotStates& slots;
  const RowKernels& row_kernels;
  const GdnKernels& kernels;
  int64_t layer;
  // Empty for a flush.
  Rows query = {}, key = {}, value = {}, beta = {}, g = {}, out = {};

  const ops::RecurrentSpec& spec() const { return slots.spec(); }

  // A block's state as 32 columns: itself, or a padded copy that finish_state writes back.
  float* padded_state(float* state, int64_t width, const GdnScratch& scratch) const {
    if (width == kStateColumns) return state;
    copy_padded(state, width, width, spec().key_dim, scratch.padded_state, kStateColumns,
                kStateColumns);
    return scratch.padded_state;
  }
  void finish_state(float* state, int64_t width, const GdnScratch& scratch) const {
    if (width == kStateColumns) return;
    copy_rows(scratch.padded_state, kStateColumns, width, spec().key_dim, state, width);
  }

  // A narrow row as 32 columns.
  static float* pad(const float* from, int64_t width, float* to) {
    copy_padded(from, 0, width, 1, to, 0, kStateColumns);
    return to;
  }

  // The accepted pending rows, then `rows` new ones of a segment that begin at `first_row`, on one
  // block: the whole sequential rule of a step in one pass over the state.
  void sequential(const LayerState& state, int64_t commit, int64_t first_row, int64_t rows,
                  int64_t head, int64_t block, const GdnScratch& scratch) const {
    const ops::RecurrentSpec& s = spec();
    const int64_t width = slots.block_width(block), dim = s.key_dim;
    const bool padded = width != kStateColumns;
    const int64_t key_at = slots.key_head_of(head) * dim;
    const int64_t value_at = head * s.value_dim + block * kStateColumns;
    const auto changes = [&](int64_t r) { return state.changes + r * s.value_width() + value_at; };
    std::array<DeltaRow, kMaxPendingRows> pending, fresh;
    for (int64_t r = 0; r < commit; ++r) {
      DeltaRow& row = pending[static_cast<size_t>(r)];
      row.key = state.keys + r * s.key_width() + key_at;
      row.change =
          padded ? pad(changes(r), width, scratch.padded_changes + r * kStateColumns) : changes(r);
      row.decay = state.decays[r * s.value_heads + head];
    }
    std::array<float, kMaxPendingRows> decays;
    for (int64_t r = 0; r < rows; ++r) decays[static_cast<size_t>(r)] = g.row(first_row + r)[head];
    row_kernels.exponential(decays.data(), decays.data(), rows);
    for (int64_t r = 0; r < rows; ++r) {
      const float* const values = value.row(first_row + r) + value_at;
      DeltaRow& row = fresh[static_cast<size_t>(r)];
      row.key = key.row(first_row + r) + key_at;
      row.query = query.row(first_row + r) + key_at;
      row.decay = decays[static_cast<size_t>(r)];
      row.beta = beta.row(first_row + r)[head];
      if (padded) {
        row.value = pad(values, width, scratch.padded_values + r * kStateColumns);
        row.change = scratch.padded_changes + r * kStateColumns;
        row.out = scratch.padded_out + r * kStateColumns;
      } else {
        row.value = values;
        row.change = changes(r);
        row.out = out.row(first_row + r) + value_at;
      }
    }
    float* const at = slots.block(state, head, block);
    float* const work = padded_state(at, width, scratch);
    kernels.apply_rows(pending.data(), commit, fresh.data(), rows, dim, work, scratch.state_copy,
                       at + width * dim);
    if (!padded) return;
    finish_state(at, width, scratch);
    for (int64_t r = 0; r < rows; ++r) {
      std::copy_n(fresh[static_cast<size_t>(r)].change, width, changes(r));
      std::copy_n(fresh[static_cast<size_t>(r)].out, width, out.row(first_row + r) + value_at);
    }
  }

  // All chunks of a prompt segment for blocks [first_block, end_block) of one head.
  void chunked(const ops::Segment& segment, int64_t head, int64_t first_block, int64_t end_block,
               const GdnScratch& scratch) const {
    const LayerState state = slots.layer(segment.slot, layer);
    for (int64_t b = first_block; b < end_block; ++b) {
      if (segment.commit > 0) sequential(state, segment.commit, 0, 0, head, b, scratch);
    }
    const int64_t key_at = slots.key_head_of(head) * spec().key_dim;
    int64_t done = 0;
    while (done < segment.row_count) {
      // Borders are multiples of kGrid of the index in the sequence.
      const int64_t to_border = ops::kGrid - (segment.first_index + done) % ops::kGrid;
      const int64_t first = segment.first_row + done;
      ChunkShared chunk;
      chunk.rows = std::min<int64_t>(to_border, segment.row_count - done);
      chunk.key_dim = spec().key_dim;
      chunk.keys = key.row(first) + key_at;
      chunk.queries = query.row(first) + key_at;
      chunk.key_stride = key.stride;
      chunk.query_stride = query.stride;
      chunk.mixing = scratch.mixing;
      chunk.attention = scratch.attention;
      chunk.transposed = scratch.transposed;
      for (int64_t i = 0; i < chunk.rows; ++i) chunk.beta[i] = beta.row(first + i)[head];
      kernels.prepare_chunk(chunk, g.row(first) + head, g.stride);
      for (int64_t b = first_block; b < end_block; ++b)
        chunk_block(chunk, first, state, head, b, scratch);
      done += chunk.rows;
    }
  }

  void chunk_block(const ChunkShared& chunk, int64_t first, const LayerState& state, int64_t head,
                   int64_t block, const GdnScratch& scratch) const {
    const int64_t width = slots.block_width(block);
    const int64_t value_at = head * spec().value_dim + block * kStateColumns;
    float* const at = slots.block(state, head, block);
    if (width == kStateColumns) {
      kernels.apply_chunk(chunk, value.row(first) + value_at, value.stride, at, scratch.news,
                          out.row(first) + value_at, out.stride);
      return;
    }
    float* const work = padded_state(at, width, scratch);
    copy_padded(value.row(first) + value_at, value.stride, width, chunk.rows, scratch.padded_values,
                kStateColumns, kStateColumns);
    kernels.apply_chunk(chunk, scratch.padded_values, kStateColumns, work, scratch.news,
                        scratch.padded_out, kStateColumns);
    finish_state(at, width, scratch);
    copy_rows(scratch.padded_out, kStateColumns, width, chunk.rows, out.row(first) + value_at,
              out.stride);
  }

  // Keeps what the next step needs of an answer segment's rows; sequential() has kept the changes.
  void stash(const ops::Segment& segment) const {
    const LayerState state = slots.layer(segment.slot, layer);
    const int64_t heads = spec().value_heads;
    for (int64_t r = 0; r < segment.row_count; ++r) {
      const int64_t row = segment.first_row + r;
      std::copy_n(key.row(row), key.columns, state.keys + r * key.columns);
      row_kernels.exponential(g.row(row), state.decays + r * heads, heads);
    }
  }
};

void CpuBackend::do_gdn_delta(const ops::GdnDeltaArgs& args) {
  const SlotStates& slots = own(*args.state);
  const ops::RecurrentSpec& spec = slots.spec();
  const auto& segments = args.batch->segments;
  int64_t answers = 0;
  for (const ops::Segment& segment : segments) {
    check_commit(segment.commit, *slots.layer(segment.slot, args.layer).delta_pending);
    if (segment.role == ops::Role::kAnswer) ++answers;
  }
  const int64_t prompts = static_cast<int64_t>(segments.size()) - answers;
  const DeltaRun run = {slots,
                        rows_,
                        gdn_,
                        args.layer,
                        rows_of(args.query),
                        rows_of(args.key),
                        rows_of(args.value),
                        rows_of(args.beta),
                        rows_of(args.g),
                        rows_of(args.out)};
  const int64_t heads = spec.value_heads, blocks = slots.blocks();

  // Answer segments come first in a batch; neighbouring items are neighbours in memory.
  shared_items(pool_, answers * heads * blocks, false, [&](int64_t item, int member) {
    const ops::Segment& segment = segments[static_cast<size_t>(item / (heads * blocks))];
    run.sequential(slots.layer(segment.slot, args.layer), segment.commit, segment.first_row,
                   segment.row_count, item / blocks % heads, item % blocks,
                   GdnScratch(gdn_scratch(member)));
  });
  // Afterwards, because heads share the pending keys that this replaces.
  static_items(pool_, answers, answers < 4,
               [&](int64_t item, int) { run.stash(segments[static_cast<size_t>(item)]); });

  // What all blocks of a head share is computed once, unless that left members without work.
  const int64_t parts = prompts * heads < 2 * pool_.size() ? blocks : 1;
  shared_items(pool_, prompts * heads * parts, false, [&](int64_t item, int member) {
    const ops::Segment& segment = segments[static_cast<size_t>(answers + item / (heads * parts))];
    const int64_t part = item % parts;
    run.chunked(segment, item / parts % heads, part * blocks / parts, (part + 1) * blocks / parts,
                GdnScratch(gdn_scratch(member)));
  });

  for (const ops::Segment& segment : segments) {
    *slots.layer(segment.slot, args.layer).delta_pending =
        segment.role == ops::Role::kAnswer ? segment.row_count : 0;
  }
}

// ---- slots

void CpuBackend::reset_slot(ops::RecurrentState& state, int64_t slot) { own(state).reset(slot); }

void CpuBackend::flush_slot(ops::RecurrentState& state, int64_t slot, int64_t commit) {
  const SlotStates& slots = own(state);
  const ops::RecurrentSpec& spec = slots.spec();
  SLUICE_CHECK(commit >= 0, "commit {}", commit);
  for (int64_t index = 0; index < spec.layers; ++index) {
    const LayerState layer = slots.layer(slot, index);
    check_commit(commit, *layer.conv_pending);
    check_commit(commit, *layer.delta_pending);
    const ConvBlock all = {layer, spec.conv_channels(), spec.conv_kernel - 1, 0,
                           spec.conv_channels()};
    all.commit(commit);
    *layer.conv_pending = *layer.delta_pending = 0;
  }
  if (commit == 0) return;
  const int64_t per_layer = spec.value_heads * slots.blocks();
  shared_items(pool_, spec.layers * per_layer, false, [&](int64_t item, int member) {
    const int64_t index = item / per_layer;
    const DeltaRun run = {slots, rows_, gdn_, index};
    run.sequential(slots.layer(slot, index), commit, 0, 0, item % per_layer / slots.blocks(),
                   item % slots.blocks(), GdnScratch(gdn_scratch(member)));
  });
}

void CpuBackend::copy_slot(const ops::RecurrentState& from, int64_t from_slot,
                           ops::RecurrentState& to, int64_t to_slot) {
  own(to).copy_committed(own(from), from_slot, to_slot);
}

ops::RecurrentImage CpuBackend::export_slot(const ops::RecurrentState& state, int64_t slot) {
  return own(state).export_image(slot);
}

void CpuBackend::import_slot(ops::RecurrentState& state, int64_t slot,
                             const ops::RecurrentImage& image) {
  own(state).import_image(slot, image);
}

void CpuBackend::export_layer(const ops::RecurrentState& state, int64_t slot, int64_t layer,
                              std::span<float> image) {
  own(state).export_layer(slot, layer, image);
}

void CpuBackend::import_layer(ops::RecurrentState& state, int64_t slot, int64_t layer,
                              std::span<const float> image) {
  own(state).import_layer(slot, layer, image);
}

}  // namespace sluice::cpu
