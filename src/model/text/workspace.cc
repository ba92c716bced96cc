#include "model/text/workspace.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace sluice::model {
namespace {

constexpr int64_t kAlignment = 16;  // floats: a cache line

// Hands out consecutive pieces of a buffer that may not exist yet.
class Carver {
 public:
  explicit Carver(ops::DeviceBuffer* buffer) : buffer_(buffer) {}

  ops::View take(int64_t rows, int64_t columns) {
    const ops::View view{buffer_, next_, rows, columns, columns};
    next_ += (rows * columns + kAlignment - 1) / kAlignment * kAlignment;
    largest_ = std::max(largest_, next_);
    return view;
  }
  int64_t place() const { return next_; }
  void return_to(int64_t place) {
    next_ = place;
  }  // what is taken now overlaps what was taken since
  void skip_used() { next_ = largest_; }
  int64_t elements() const { return largest_; }

 private:
  ops::DeviceBuffer* buffer_;
  int64_t next_ = 0, largest_ = 0;
};

// Fills the views and returns the elements of the buffer they need.
int64_t lay_out(const TextConfig& config, ops::DeviceBuffer* buffer, Workspace::Views& views) {
  const int64_t rows = views.max_rows, hidden = config.hidden;
  const int64_t key_width = config.gdn_key_heads * config.gdn_key_dim;
  const int64_t value_heads = config.gdn_value_heads,
                value_width = value_heads * config.gdn_value_dim;
  const int64_t width = config.query_heads * config.head_dim,
                kv_width = config.kv_heads * config.head_dim;

  Carver carver(buffer);
  for (ops::View* view : {&views.hidden, &views.normed, &views.delta, &views.final, &views.m})
    *view = carver.take(rows, hidden);

  const int64_t shared = carver.place();
  views.qkv = carver.take(rows, 2 * key_width + value_width);
  views.gated = {buffer, views.qkv.offset, rows, value_width, value_width};
  views.z = carver.take(rows, value_width);
  views.conv = carver.take(rows, 2 * key_width + value_width);
  views.gdn_query = carver.take(rows, key_width);
  views.gdn_key = carver.take(rows, key_width);
  views.core = carver.take(rows, value_width);
  for (ops::View* view : {&views.b, &views.a, &views.beta, &views.g})
    *view = carver.take(rows, value_heads);

  carver.return_to(shared);
  views.query_gate = carver.take(rows, 2 * width);
  views.key = carver.take(rows, kv_width);
  views.value = carver.take(rows, kv_width);
  views.query = carver.take(rows, width);
  views.heads = carver.take(rows, width);
  views.key_normed = carver.take(rows, kv_width);

  carver.return_to(shared);
  for (ops::View* view : {&views.gate, &views.up, &views.product})
    *view = carver.take(rows, config.intermediate);

  carver.return_to(shared);
  views.fc_in = carver.take(rows, 2 * hidden);

  carver.skip_used();
  views.logit_rows = carver.take(views.max_logit_rows, hidden);
  views.logits = carver.take(views.max_logit_rows, config.vocabulary);
  return carver.elements();
}

// Widest input of a product, for the backend's scratch memory.
int64_t widest_input(const TextConfig& config) {
  return std::max({config.intermediate, config.mtp_layers > 0 ? 2 * config.hidden : config.hidden,
                   config.query_heads * config.head_dim,
                   config.gdn_value_heads * config.gdn_value_dim});
}

}  // namespace

Workspace::Workspace() : views_(std::make_unique<Views>()) {}
Workspace::~Workspace() = default;

int64_t Workspace::max_rows() const { return views_->max_rows; }
int64_t Workspace::max_logit_rows() const { return views_->max_logit_rows; }

size_t Workspace::bytes(const TextConfig& config, int64_t max_rows, int64_t max_logit_rows) {
  Views views;
  views.max_rows = max_rows;
  views.max_logit_rows = max_logit_rows;
  return static_cast<size_t>(lay_out(config, nullptr, views)) * sizeof(float);
}

Result<std::unique_ptr<Workspace>> Workspace::create(const TextConfig& config,
                                                     ops::Backend& backend, int64_t max_rows,
                                                     int64_t max_logit_rows) {
  SLUICE_CHECK(max_rows > 0 && max_logit_rows > 0, "workspace of {} rows, {} logit rows", max_rows,
               max_logit_rows);
  std::unique_ptr<Workspace> workspace(new Workspace());
  Views& views = *workspace->views_;
  views.max_rows = max_rows;
  views.max_logit_rows = max_logit_rows;
  SLUICE_ASSIGN(views.buffer, backend.allocate(bytes(config, max_rows, max_logit_rows)));
  lay_out(config, views.buffer.get(), views);
  SLUICE_TRY(backend.reserve_scratch(max_rows, widest_input(config)));
  return workspace;
}

}  // namespace sluice::model
