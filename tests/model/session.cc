#include "model/session.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "backend/ref/ref_backend.h"

namespace sluice::test {
namespace {

template <typename T>
T value_of(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.error().message());
  return *std::move(result);
}

}  // namespace

std::unique_ptr<ops::Backend> reference_backend() { return std::make_unique<ref::RefBackend>(1); }

Session::Session(const std::filesystem::path& path, const Options& options) {
  file = std::make_unique<checkpoint::Checkpoint>(value_of(checkpoint::Checkpoint::open(path)));
  binding = value_of(model::bind(*file));
  backend = options.backend();
  model::LoadOptions load;
  load.with_mtp = options.with_mtp;
  text_model = value_of(model::TextModel::load(*file, *binding, *backend, load));
  workspace = value_of(
      model::Workspace::create(text_model->config(), *backend, options.max_rows, options.max_rows));
  cache_ = value_of(backend->create_kv_cache(text_model->kv_spec(options.pages, options.kv)));
  state_ = value_of(
      backend->create_recurrent_state(text_model->recurrent_spec(1, options.pending_rows)));
  hidden_buffer_ = value_of(
      backend->allocate(static_cast<size_t>(options.max_rows * config().hidden) * sizeof(float)));
  // Not the identity, so that a mix-up of page and place shows.
  pages_.resize(static_cast<size_t>(options.pages));
  std::iota(pages_.rbegin(), pages_.rend(), 0);
  restart();
}

void Session::restart(int32_t rope_start) {
  backend->reset_slot(*state_, 0);
  count_ = 0;
  pending_ = 0;
  rope_start_ = rope_start;
}

ops::Batch Session::batch(int32_t first_index, int32_t rope, std::span<const int32_t> tokens,
                          ops::Role role) const {
  ops::Batch batch;
  const auto rows = static_cast<int32_t>(tokens.size());
  for (int32_t i = 0; i < rows; ++i) {
    batch.rows.push_back(
        {tokens[static_cast<size_t>(i)], 0, first_index + i, {rope + i, rope + i, rope + i}});
  }
  batch.pages = pages_;
  batch.segments.push_back(
      {0, rows, first_index, 0, pending_, role, 0, static_cast<int32_t>(pages_.size())});
  return batch;
}

std::vector<float> Session::read(std::span<const int32_t> tokens, ops::Role role,
                                 model::TraceSink* trace) {
  const auto first = static_cast<int32_t>(count_);
  const ops::Batch step = batch(first, rope_start_ + first, tokens, role);
  last = text_model->forward(step, *cache_, *state_, *workspace, trace);
  count_ += static_cast<int64_t>(tokens.size());
  pending_ = role == ops::Role::kAnswer ? static_cast<int32_t>(tokens.size()) : 0;
  return backend->download(last);
}

std::vector<float> Session::read_split(std::span<const int32_t> tokens,
                                       std::span<const int64_t> cuts) {
  std::vector<float> hidden;
  size_t begin = 0;
  std::vector<int64_t> ends(cuts.begin(), cuts.end());
  ends.push_back(static_cast<int64_t>(tokens.size()));
  for (const int64_t end : ends) {
    const std::vector<float> rows = read(tokens.subspan(begin, static_cast<size_t>(end) - begin));
    hidden.insert(hidden.end(), rows.begin(), rows.end());
    begin = static_cast<size_t>(end);
  }
  return hidden;
}

std::vector<float> Session::logits(std::span<const int32_t> rows) {
  return backend->download(text_model->logits(last, rows, *workspace));
}

std::vector<float> Session::all_logits() {
  std::vector<int32_t> rows(static_cast<size_t>(last.rows));
  std::iota(rows.begin(), rows.end(), 0);
  return logits(rows);
}

std::vector<float> Session::draft(int32_t first_slot, std::span<const int32_t> tokens,
                                  std::span<const float> hidden, ops::Role role,
                                  model::TraceSink* trace) {
  const auto rows = static_cast<int64_t>(tokens.size());
  const ops::View view{hidden_buffer_.get(), 0, rows, config().hidden, config().hidden};
  backend->upload(view, hidden);
  last = text_model->mtp()->forward(batch(first_slot + 1, rope_start_ + first_slot, tokens, role),
                                    view, *cache_, *workspace, trace);
  return backend->download(last);
}

std::vector<float> Session::draft_again(int32_t first_slot, std::span<const int32_t> tokens) {
  last = text_model->mtp()->forward(
      batch(first_slot + 1, rope_start_ + first_slot, tokens, ops::Role::kAnswer), last, *cache_,
      *workspace);
  return backend->download(last);
}

ops::RecurrentImage Session::state() {
  backend->flush_slot(*state_, 0, pending_);
  pending_ = 0;
  return backend->export_slot(*state_, 0);
}

std::vector<float> Session::keys(int64_t layer, int64_t count) {
  return backend->export_keys(*cache_, layer, pages_, count);
}
std::vector<float> Session::values(int64_t layer, int64_t count) {
  return backend->export_values(*cache_, layer, pages_, count);
}

std::vector<int32_t> argmax_rows(std::span<const float> logits, int64_t columns) {
  std::vector<int32_t> tokens;
  for (size_t row = 0; row * static_cast<size_t>(columns) < logits.size(); ++row) {
    const auto begin = logits.begin() + static_cast<int64_t>(row) * columns;
    tokens.push_back(static_cast<int32_t>(std::max_element(begin, begin + columns) - begin));
  }
  return tokens;
}

}  // namespace sluice::test
