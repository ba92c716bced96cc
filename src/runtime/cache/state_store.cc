#include "runtime/cache/state_store.h"

namespace sluice::runtime {

Result<std::unique_ptr<StateStore>> StateStore::create(const model::TextModel& model, int64_t slots,
                                                       int64_t checkpoints, bool with_hidden) {
  std::unique_ptr<StateStore> store(new StateStore());
  store->backend_ = &model.backend();
  store->slots_ = slots;
  // Nothing is ever pending in a checkpoint.
  SLUICE_ASSIGN(store->states_,
                model.backend().create_recurrent_state(model.recurrent_spec(checkpoints, 0)));
  if (with_hidden) {
    const int64_t width = model.config().hidden, rows = slots + checkpoints;
    SLUICE_ASSIGN(store->buffer_,
                  model.backend().allocate(static_cast<size_t>(rows * width) * sizeof(float)));
    store->hidden_ = {store->buffer_.get(), 0, rows, width, width};
  }
  return store;
}

size_t StateStore::bytes(const model::TextConfig& config, bool with_hidden) {
  return model::TextModel::recurrent_spec(config, 1, 0).state_bytes() +
         (with_hidden ? static_cast<size_t>(config.hidden) * sizeof(float) : 0);
}

void StateStore::note_hidden(int32_t slot, const ops::View& hidden, int64_t row) {
  if (hidden_.empty()) return;
  const auto source = static_cast<int32_t>(row);
  backend_->gather_rows({.x = hidden, .rows = {&source, 1}, .out = slot_row(slot)});
}

void StateStore::save(const ops::RecurrentState& running, int32_t slot, int32_t checkpoint) {
  backend_->copy_slot(running, slot, *states_, checkpoint);
  if (hidden_.empty()) return;
  const int32_t source = slot;
  backend_->gather_rows({.x = hidden_, .rows = {&source, 1}, .out = checkpoint_row(checkpoint)});
}

ops::View StateStore::restore(int32_t checkpoint, ops::RecurrentState& running, int32_t slot) {
  backend_->copy_slot(*states_, checkpoint, running, slot);
  return hidden_.empty() ? ops::View() : checkpoint_row(checkpoint);
}

void StateStore::export_layer(int32_t checkpoint, int64_t layer, std::span<float> values) const {
  backend_->export_layer(*states_, checkpoint, layer, values);
}

void StateStore::import_layer(int32_t checkpoint, int64_t layer, std::span<const float> values) {
  backend_->import_layer(*states_, checkpoint, layer, values);
}

std::vector<float> StateStore::export_hidden(int32_t checkpoint) const {
  return hidden_.empty() ? std::vector<float>() : backend_->download(checkpoint_row(checkpoint));
}

void StateStore::import_hidden(int32_t checkpoint, std::span<const float> values) {
  if (!hidden_.empty()) backend_->upload(checkpoint_row(checkpoint), values);
}

}  // namespace sluice::runtime
