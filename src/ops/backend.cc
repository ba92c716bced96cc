#include "ops/backend.h"

#include "base/check.h"

namespace sluice::ops {
namespace {

// A view must lie inside its buffer and have the named shape.
void check_view(const View& view, const char* name) {
  SLUICE_CHECK(view.buffer != nullptr, "{} has no buffer", name);
  SLUICE_CHECK(view.rows >= 0 && view.columns > 0 && view.offset >= 0, "{} [{}, {}] at {}", name,
               view.rows, view.columns, view.offset);
  SLUICE_CHECK(view.rows <= 1 || view.stride >= view.columns, "{} stride {} columns {}", name,
               view.stride, view.columns);
  const int64_t last =
      view.rows == 0 ? 0 : view.offset + (view.rows - 1) * view.stride + view.columns;
  SLUICE_CHECK(
      last * static_cast<int64_t>(sizeof(float)) <= static_cast<int64_t>(view.buffer->bytes()),
      "{} ends at element {} of a buffer of {} bytes", name, last, view.buffer->bytes());
}

void check_shape(const View& view, int64_t rows, int64_t columns, const char* name) {
  check_view(view, name);
  SLUICE_CHECK(view.rows == rows && view.columns == columns, "{} is [{}, {}], expected [{}, {}]",
               name, view.rows, view.columns, rows, columns);
}

// The invariant of batch.h. That no slot occurs twice is check_recurrent's: the draft head's
// batches have no slots.
void check_batch(const Batch* batch, int64_t rows) {
  SLUICE_CHECK(batch != nullptr, "no batch");
  SLUICE_CHECK(batch->row_count() == rows, "batch has {} rows, the views {}", batch->row_count(),
               rows);
  int64_t next_row = 0;
  bool prompts = false;
  for (size_t s = 0; s < batch->segments.size(); ++s) {
    const Segment& segment = batch->segments[s];
    SLUICE_CHECK(segment.first_row == next_row && segment.row_count >= 0,
                 "segment {} has {} rows from {}, expected from {}", s, segment.row_count,
                 segment.first_row, next_row);
    next_row += segment.row_count;
    SLUICE_CHECK(next_row <= rows, "segment {} ends at row {} of {}", s, next_row, rows);
    SLUICE_CHECK(segment.role == Role::kPrompt || !prompts, "answer segment {} after a prompt", s);
    prompts = segment.role == Role::kPrompt;
    SLUICE_CHECK(segment.first_index >= 0, "segment {} begins at index {}", s, segment.first_index);
    SLUICE_CHECK(segment.first_page >= 0 && segment.page_count >= 0 &&
                     segment.first_page + int64_t{segment.page_count} <=
                         static_cast<int64_t>(batch->pages.size()),
                 "segment {} has pages {} + {} of {}", s, segment.first_page, segment.page_count,
                 batch->pages.size());
    for (int32_t i = 0; i < segment.row_count; ++i) {
      const Row& row = batch->rows[static_cast<size_t>(segment.first_row + i)];
      SLUICE_CHECK(row.segment == static_cast<int32_t>(s) && row.index == segment.first_index + i,
                   "row {} is of segment {} at index {}, expected {} and {}", segment.first_row + i,
                   row.segment, row.index, s, segment.first_index + i);
    }
  }
  SLUICE_CHECK(next_row == rows, "segments cover {} of {} rows", next_row, rows);
}

// Every row's place in the cache exists.
void check_pages(const Batch& batch, const KvSpec& spec) {
  for (const Segment& segment : batch.segments) {
    const int64_t end = segment.first_index + int64_t{segment.row_count};
    SLUICE_CHECK(end <= int64_t{segment.page_count} * kGrid, "{} tokens in {} pages", end,
                 segment.page_count);
  }
  for (const int32_t page : batch.pages) {
    SLUICE_CHECK(page >= 0 && page < spec.pages, "page {} of {}", page, spec.pages);
  }
}

void check_layer(int64_t layer, int64_t layers) {
  SLUICE_CHECK(layer >= 0 && layer < layers, "layer {} of {}", layer, layers);
}

size_t kv_element_bytes(KvFormat format) {
  switch (format) {
    case KvFormat::kF32:
      return 4;
    case KvFormat::kBF16:
      return 2;
    case KvFormat::kFp8:
      return 1;
  }
  return 0;
}

}  // namespace

size_t KvSpec::bytes_per_page() const {
  return static_cast<size_t>(layers * 2 * heads * kGrid * head_dim) * kv_element_bytes(format);
}

size_t RecurrentSpec::layer_values() const {
  const int64_t state = value_heads * key_dim * value_dim;
  const int64_t columns = conv_channels() * (conv_kernel - 1);
  return static_cast<size_t>(state + columns);
}

size_t RecurrentSpec::state_bytes() const {
  return static_cast<size_t>(layers) * layer_values() * sizeof(float);
}

size_t RecurrentSpec::pending_bytes() const {
  const int64_t row = key_width() + value_width() + 2 * value_heads + conv_channels();
  return static_cast<size_t>(layers * pending_rows * row) * sizeof(float);
}

void Backend::upload(const View& to, std::span<const float> values) {
  check_view(to, "to");
  SLUICE_CHECK(static_cast<int64_t>(values.size()) == to.rows * to.columns,
               "{} values for [{}, {}]", values.size(), to.rows, to.columns);
  do_upload(to, values);
}

std::vector<float> Backend::download(const View& from) {
  std::vector<float> values;
  download(from, values);
  return values;
}

void Backend::download(const View& from, std::vector<float>& values) {
  check_view(from, "from");
  values.resize(static_cast<size_t>(from.rows * from.columns));
  do_download(from, values);
}

void Backend::embed(const EmbedArgs& a) {
  SLUICE_CHECK(a.table != nullptr, "no table");
  check_shape(a.out, static_cast<int64_t>(a.tokens.size()), a.table->columns(), "out");
  for (const int32_t token : a.tokens) {
    SLUICE_CHECK(token >= 0 && token < a.table->rows(), "token {} of {}", token, a.table->rows());
  }
  do_embed(a);
}

void Backend::rms_norm(const RmsNormArgs& a) {
  check_view(a.x, "x");
  if (!a.delta.empty()) check_shape(a.delta, a.x.rows, a.x.columns, "delta");
  SLUICE_CHECK(!a.delta.empty() || !a.out.empty(), "nothing to do");
  if (!a.out.empty()) {
    check_shape(a.weight, 1, a.x.columns, "weight");
    check_shape(a.out, a.x.rows, a.x.columns, "out");
  }
  do_rms_norm(a);
}

void Backend::matmul(const MatmulArgs& a) {
  check_view(a.x, "x");
  SLUICE_CHECK(a.answer_rows >= 0 && a.answer_rows <= a.x.rows, "answer rows {} of {}",
               a.answer_rows, a.x.rows);
  for (const Product& product : a.products) {
    SLUICE_CHECK(product.weight != nullptr, "no weight");
    SLUICE_CHECK(product.weight->columns() == a.x.columns, "weight [{}, {}], x has {} columns",
                 product.weight->rows(), product.weight->columns(), a.x.columns);
    check_shape(product.out, a.x.rows, product.weight->rows(), "out");
    const auto [first, end] = product.part;
    SLUICE_CHECK(first >= 0 && first <= end && end <= product.weight->rows() &&
                     first % kGrid == 0 && (end % kGrid == 0 || end == product.weight->rows()),
                 "outputs {} to {} of {}", first, end, product.weight->rows());
  }
  do_matmul(a);
}

void Backend::swiglu(const SwigluArgs& a) {
  check_view(a.gate, "gate");
  check_shape(a.up, a.gate.rows, a.gate.columns, "up");
  check_shape(a.out, a.gate.rows, a.gate.columns, "out");
  do_swiglu(a);
}

void Backend::attention_input(const AttentionInputArgs& a) {
  SLUICE_CHECK(a.cache != nullptr && a.rotary != nullptr, "cache and rotary table are needed");
  const KvSpec& spec = a.cache->spec();
  const int64_t rows = a.query.rows, dim = spec.head_dim;
  check_batch(a.batch, rows);
  check_layer(a.layer, spec.layers);
  check_view(a.query, "query");
  check_pages(*a.batch, spec);
  SLUICE_CHECK(a.query.columns % (spec.heads * dim) == 0, "query columns {}, kv heads {} of {}",
               a.query.columns, spec.heads, dim);
  check_shape(a.query_gate, rows, 2 * a.query.columns, "query_gate");
  check_shape(a.key, rows, spec.heads * dim, "key");
  check_shape(a.value, rows, spec.heads * dim, "value");
  check_shape(a.query_norm, 1, dim, "query_norm");
  check_shape(a.key_norm, 1, dim, "key_norm");
  SLUICE_CHECK(static_cast<int64_t>(2 * a.rotary->inverse_frequencies.size()) <= dim &&
                   a.rotary->inverse_frequencies.size() == a.rotary->components.size(),
               "rotary pairs {} of head dim {}", a.rotary->inverse_frequencies.size(), dim);
  if (!a.query_normed.empty()) check_shape(a.query_normed, rows, a.query.columns, "query_normed");
  if (!a.key_normed.empty()) check_shape(a.key_normed, rows, a.key.columns, "key_normed");
  do_attention_input(a);
}

void Backend::attention(const AttentionArgs& a) {
  SLUICE_CHECK(a.cache != nullptr, "no cache");
  check_view(a.query, "query");
  check_shape(a.out, a.query.rows, a.query.columns, "out");
  check_batch(a.batch, a.query.rows);
  check_layer(a.layer, a.cache->spec().layers);
  SLUICE_CHECK(a.query.columns % (a.cache->spec().heads * a.cache->spec().head_dim) == 0,
               "query columns {}, kv heads {} of {}", a.query.columns, a.cache->spec().heads,
               a.cache->spec().head_dim);
  check_pages(*a.batch, a.cache->spec());
  for (const Segment& segment : a.batch->segments) {
    SLUICE_CHECK(
        a.first_index >= 0 && (segment.row_count == 0 || segment.first_index >= a.first_index),
        "a row at index {} attends from index {}", segment.first_index, a.first_index);
  }
  do_attention(a);
}

void Backend::attention_gate(const AttentionGateArgs& a) {
  check_view(a.heads, "heads");
  check_shape(a.query_gate, a.heads.rows, 2 * a.heads.columns, "query_gate");
  check_shape(a.out, a.heads.rows, a.heads.columns, "out");
  SLUICE_CHECK(a.head_dim > 0 && a.heads.columns % a.head_dim == 0, "head dim {} of {}", a.head_dim,
               a.heads.columns);
  do_attention_gate(a);
}

namespace {
void check_recurrent(const RecurrentState* state, const Batch* batch, int64_t rows, int64_t layer) {
  SLUICE_CHECK(state != nullptr, "no recurrent state");
  check_batch(batch, rows);
  check_layer(layer, state->spec().layers);
  for (const Segment& segment : batch->segments) {
    SLUICE_CHECK(segment.slot >= 0 && segment.slot < state->spec().slots, "slot {} of {}",
                 segment.slot, state->spec().slots);
    SLUICE_CHECK(segment.commit >= 0 && segment.commit <= state->spec().pending_rows,
                 "commit {} of {}", segment.commit, state->spec().pending_rows);
    SLUICE_CHECK(segment.role == Role::kPrompt || segment.row_count <= state->spec().pending_rows,
                 "{} answer rows, {} can be pending", segment.row_count,
                 state->spec().pending_rows);
    for (const Segment* other = batch->segments.data(); other != &segment; ++other) {
      SLUICE_CHECK(other->slot != segment.slot, "slot {} in two segments", segment.slot);
    }
  }
}
}  // namespace

void Backend::gdn_conv(const GdnConvArgs& a) {
  check_view(a.raw, "raw");
  check_recurrent(a.state, a.batch, a.raw.rows, a.layer);
  const RecurrentSpec& spec = a.state->spec();
  check_shape(a.raw, a.raw.rows, spec.conv_channels(), "raw");
  check_shape(a.weight, spec.conv_channels(), spec.conv_kernel, "weight");
  check_shape(a.out, a.raw.rows, spec.conv_channels(), "out");
  do_gdn_conv(a);
}

void Backend::gdn_input(const GdnInputArgs& a) {
  check_view(a.conv, "conv");
  const int64_t rows = a.conv.rows, width = a.key_heads * a.key_dim;
  check_view(a.a, "a");
  check_shape(a.a, rows, a.a.columns, "a");
  check_shape(a.b, rows, a.a.columns, "b");
  check_shape(a.decay, 1, a.a.columns, "decay");
  check_shape(a.dt_bias, 1, a.a.columns, "dt_bias");
  SLUICE_CHECK(a.conv.columns > 2 * width, "conv columns {} for keys of {}", a.conv.columns, width);
  check_shape(a.query, rows, width, "query");
  check_shape(a.key, rows, width, "key");
  check_shape(a.beta, rows, a.a.columns, "beta");
  check_shape(a.g, rows, a.a.columns, "g");
  do_gdn_input(a);
}

void Backend::gdn_delta(const GdnDeltaArgs& a) {
  check_view(a.query, "query");
  const int64_t rows = a.query.rows;
  check_recurrent(a.state, a.batch, rows, a.layer);
  const RecurrentSpec& spec = a.state->spec();
  check_shape(a.query, rows, spec.key_width(), "query");
  check_shape(a.key, rows, spec.key_width(), "key");
  check_shape(a.value, rows, spec.value_width(), "value");
  check_shape(a.beta, rows, spec.value_heads, "beta");
  check_shape(a.g, rows, spec.value_heads, "g");
  check_shape(a.out, rows, spec.value_width(), "out");
  do_gdn_delta(a);
}

void Backend::gdn_norm(const GdnNormArgs& a) {
  check_view(a.core, "core");
  check_shape(a.z, a.core.rows, a.core.columns, "z");
  check_shape(a.out, a.core.rows, a.core.columns, "out");
  check_shape(a.weight, 1, a.weight.columns, "weight");
  SLUICE_CHECK(a.core.columns % a.weight.columns == 0, "core columns {}, value dim {}",
               a.core.columns, a.weight.columns);
  do_gdn_norm(a);
}

void Backend::gather_rows(const GatherRowsArgs& a) {
  check_view(a.x, "x");
  check_shape(a.out, static_cast<int64_t>(a.rows.size()), a.x.columns, "out");
  for (const int32_t row : a.rows)
    SLUICE_CHECK(row >= 0 && row < a.x.rows, "row {} of {}", row, a.x.rows);
  do_gather_rows(a);
}

void Backend::argmax(const ArgmaxArgs& a) {
  check_view(a.logits, "logits");
  SLUICE_CHECK(static_cast<int64_t>(a.tokens.size()) == a.logits.rows, "{} tokens, {} rows",
               a.tokens.size(), a.logits.rows);
  int64_t end = 0;
  for (const Range& range : a.among) {
    SLUICE_CHECK(range.first >= end && range.end > range.first && range.end <= a.logits.columns,
                 "columns {} to {} behind {} of {}", range.first, range.end, end, a.logits.columns);
    end = range.end;
  }
  do_argmax(a);
}

}  // namespace sluice::ops
