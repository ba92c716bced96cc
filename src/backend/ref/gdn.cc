// The operations of a GDN layer (architecture.md 4.6), with the deferred commit of design.md
// section 3 in the two that have state.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/ref/delta_rule.h"
#include "backend/ref/recurrent_state.h"
#include "backend/ref/ref_backend.h"
#include "backend/ref/scalar.h"
#include "base/check.h"

namespace sluice::ref {
namespace {

constexpr double kL2Epsilon = 1e-6;

// The raw input of one channel `back` rows before row `row` of the segment: earlier rows of the
// segment, then the committed columns.
float raw_before(const RowsOf& raw, const ops::Segment& segment, const float* columns, int64_t kept,
                 int64_t channel, int64_t row, int64_t back) {
  if (back <= row) return raw.at(segment.first_row + row - back, channel);
  return columns[channel * kept + kept + row - back];
}

// The last `kept` of [columns | the segment's rows].
void write_columns(const RowsOf& raw, const ops::Segment& segment, int64_t kept,
                   std::vector<float>& columns) {
  const int64_t channels = raw.columns;
  std::vector<float> next(columns.size());
  for (int64_t channel = 0; channel < channels; ++channel) {
    for (int64_t i = 0; i < kept; ++i) {
      next[static_cast<size_t>(channel * kept + i)] =
          raw_before(raw, segment, columns.data(), kept, channel, segment.row_count, kept - i);
    }
  }
  columns = std::move(next);
}

void l2_normalize(const float* x, int64_t dim, double scale, float* out) {
  const double factor = scale / std::sqrt(dot(x, x, dim) + kL2Epsilon);
  for (int64_t i = 0; i < dim; ++i) out[i] = static_cast<float>(x[i] * factor);
}

// A segment's rows as one value head sees them.
std::vector<DeltaRow> rows_of_head(const ops::RecurrentSpec& spec, const ops::Segment& segment,
                                   int64_t value_head, const RowsOf& query, const RowsOf& key,
                                   const RowsOf& value, const RowsOf& beta, const RowsOf& g,
                                   const RowsOf& out) {
  const int64_t key_at = key_head_of(spec, value_head) * spec.key_dim;
  const int64_t value_at = value_head * spec.value_dim;
  std::vector<DeltaRow> rows;
  for (int64_t r = segment.first_row; r < segment.first_row + segment.row_count; ++r) {
    rows.push_back({query.row(r) + key_at, key.row(r) + key_at, value.row(r) + value_at,
                    beta.at(r, value_head), g.at(r, value_head), out.row(r) + value_at});
  }
  return rows;
}

// All rows by the sequential rule from a copy of the state, which itself is not written.
void run_answer_rows(const ops::RecurrentSpec& spec, const float* state,
                     std::span<const DeltaRow> rows) {
  std::vector<float> copy(state, state + spec.key_dim * spec.value_dim);
  for (const DeltaRow& row : rows) delta_step(copy.data(), spec.key_dim, spec.value_dim, row);
}

// Chunk borders are the multiples of kGrid of the index in the sequence.
void run_prompt_rows(const ops::RecurrentSpec& spec, int64_t first_index, float* state,
                     std::span<const DeltaRow> rows) {
  while (!rows.empty()) {
    const auto to_border = static_cast<size_t>(ops::kGrid - first_index % ops::kGrid);
    const size_t count = std::min(to_border, rows.size());
    delta_chunk(state, spec.key_dim, spec.value_dim, rows.first(count));
    rows = rows.subspan(count);
    first_index += static_cast<int64_t>(count);
  }
}

void stash(const RowsOf& from, const ops::Segment& segment, std::vector<float>& to) {
  for (int64_t i = 0; i < segment.row_count; ++i) {
    std::copy_n(from.row(segment.first_row + i), from.columns, to.data() + i * from.columns);
  }
}

}  // namespace

void RefBackend::do_gdn_conv(const ops::GdnConvArgs& args) {
  SlotStates& slots = own(*args.state);
  const ops::RecurrentSpec& spec = slots.spec();
  const RowsOf raw = rows_of(args.raw), weight = rows_of(args.weight), out = rows_of(args.out);
  SLUICE_CHECK(raw.data != out.data, "the convolution cannot run in place");
  const int64_t kept = spec.conv_kernel - 1;

  for (const ops::Segment& segment : args.batch->segments) {
    ConvState& conv = slots.conv(segment.slot, args.layer);
    commit_conv(spec, conv, segment.commit);
    for (int64_t row = 0; row < segment.row_count; ++row) {
      for (int64_t channel = 0; channel < raw.columns; ++channel) {
        double sum = 0;
        for (int64_t tap = 0; tap < spec.conv_kernel; ++tap) {  // the last tap is the current row
          sum += double{weight.at(channel, tap)} *
                 raw_before(raw, segment, conv.columns.data(), kept, channel, row, kept - tap);
        }
        out.at(segment.first_row + row, channel) = static_cast<float>(silu(sum));
      }
    }
    if (segment.role == ops::Role::kAnswer) {
      stash(raw, segment, conv.pending);
      conv.pending_count = segment.row_count;
    } else {
      write_columns(raw, segment, kept, conv.columns);
    }
  }
}

void RefBackend::do_gdn_input(const ops::GdnInputArgs& args) {
  const RowsOf conv = rows_of(args.conv), a = rows_of(args.a), b = rows_of(args.b),
               query = rows_of(args.query), key = rows_of(args.key), beta = rows_of(args.beta),
               g = rows_of(args.g);
  const float* decay = rows_of(args.decay).data;
  const float* dt_bias = rows_of(args.dt_bias).data;
  const int64_t dim = args.key_dim, width = args.key_heads * dim;
  const double query_scale = 1.0 / std::sqrt(static_cast<double>(dim));
  for (int64_t r = 0; r < conv.rows; ++r) {
    for (int64_t at = 0; at < width; at += dim) {
      l2_normalize(conv.row(r) + at, dim, query_scale, query.row(r) + at);
      l2_normalize(conv.row(r) + width + at, dim, 1.0, key.row(r) + at);
    }
    for (int64_t h = 0; h < a.columns; ++h) {
      beta.at(r, h) = static_cast<float>(sigmoid(b.at(r, h)));
      g.at(r, h) = static_cast<float>(decay[h] * softplus(double{a.at(r, h)} + dt_bias[h]));
    }
  }
}

void RefBackend::do_gdn_delta(const ops::GdnDeltaArgs& args) {
  SlotStates& slots = own(*args.state);
  const ops::RecurrentSpec& spec = slots.spec();
  const RowsOf query = rows_of(args.query), key = rows_of(args.key), value = rows_of(args.value),
               beta = rows_of(args.beta), g = rows_of(args.g), out = rows_of(args.out);

  for (const ops::Segment& segment : args.batch->segments) {
    DeltaState& delta = slots.delta(segment.slot, args.layer);
    const bool answer = segment.role == ops::Role::kAnswer;
    pool_.for_range(spec.value_heads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t head = begin; head < end; ++head) {
        commit_delta_head(spec, delta, segment.commit, head);
        float* state = delta.state.data() + head * spec.key_dim * spec.value_dim;
        const auto rows = rows_of_head(spec, segment, head, query, key, value, beta, g, out);
        if (answer) {
          run_answer_rows(spec, state, rows);
        } else {
          run_prompt_rows(spec, segment.first_index, state, rows);
        }
      }
    });
    forget_pending(delta);
    if (answer) {
      stash(key, segment, delta.keys);
      stash(value, segment, delta.values);
      stash(beta, segment, delta.beta);
      stash(g, segment, delta.g);
      delta.pending_count = segment.row_count;
    }
  }
}

void RefBackend::do_gdn_norm(const ops::GdnNormArgs& args) {
  const RowsOf core = rows_of(args.core), z = rows_of(args.z), out = rows_of(args.out);
  const float* weight = rows_of(args.weight).data;
  const int64_t dim = args.weight.columns;
  for (int64_t r = 0; r < core.rows; ++r) {
    for (int64_t at = 0; at < core.columns; at += dim) {
      const double factor = rms_factor(core.row(r) + at, dim, args.eps);
      for (int64_t i = at; i < at + dim; ++i) {
        out.at(r, i) =
            static_cast<float>(weight[i - at] * (core.at(r, i) * factor) * silu(z.at(r, i)));
      }
    }
  }
}

}  // namespace sluice::ref
