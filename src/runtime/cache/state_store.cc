#include "runtime/cache/state_store.h"

#include <fmt/format.h>

#include <cstring>
#include <new>

#include "base/check.h"

namespace sluice::runtime {

namespace {

// Taken for good, as a backend takes its own.
Result<PageBlock> take_memory(size_t bytes) {
  const uint64_t available = available_memory();
  try {
    if (PageBlock::footprint(bytes) > available) throw std::bad_alloc();
    PageBlock block(bytes);
    block.populate();
    return block;
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kDoesNotFit, "saved states",
                 fmt::format("need {} bytes, {} are available", bytes, available),
                 "Give --prefix-cache fewer bytes"};
  }
}

}  // namespace

Result<std::unique_ptr<StateStore>> StateStore::create(ops::Backend& backend,
                                                       ops::RecurrentSpec spec, StateForm form,
                                                       int64_t slots, int64_t hidden) {
  std::unique_ptr<StateStore> store(new StateStore());
  store->backend_ = &backend;
  store->slots_ = slots;
  spec.pending_rows = 0;  // nothing is ever pending in a checkpoint
  store->spec_ = spec;
  store->packing_ = StatePacking(spec, form);
  if (store->packed()) {
    const auto layers = static_cast<size_t>(spec.slots * spec.layers);
    SLUICE_ASSIGN(store->packed_, take_memory(layers * store->packing_.bytes()));
    SLUICE_ASSIGN(store->layer_, take_memory(store->packing_.values() * sizeof(float)));
  } else {
    SLUICE_ASSIGN(store->states_, backend.create_recurrent_state(spec));
  }
  if (hidden > 0) {
    const int64_t rows = slots + spec.slots;
    SLUICE_ASSIGN(store->buffer_,
                  backend.allocate(static_cast<size_t>(rows * hidden) * sizeof(float)));
    store->hidden_ = {store->buffer_.get(), 0, rows, hidden, hidden};
  }
  return store;
}

size_t StateStore::bytes(const model::TextConfig& config, bool with_hidden, StateForm form) {
  const ops::RecurrentSpec spec = model::TextModel::recurrent_spec(config, 1, 0);
  return static_cast<size_t>(spec.layers) * StatePacking(spec, form).bytes() +
         (with_hidden ? static_cast<size_t>(config.hidden) * sizeof(float) : 0);
}

size_t StateStore::memory(const model::TextConfig& config, int64_t slots, int64_t checkpoints,
                          bool with_hidden, StateForm form) {
  const ops::RecurrentSpec spec = model::TextModel::recurrent_spec(config, 1, 0);
  size_t bytes = PageBlock::footprint(static_cast<size_t>(checkpoints) *
                                      StateStore::bytes(config, false, form));
  if (form != StateForm::kF32) bytes += PageBlock::footprint(spec.layer_values() * sizeof(float));
  if (with_hidden)
    bytes += static_cast<size_t>((slots + checkpoints) * config.hidden) * sizeof(float);
  return bytes;
}

void StateStore::note_hidden(int32_t slot, const ops::View& hidden, int64_t row) {
  if (hidden_.empty()) return;
  const auto source = static_cast<int32_t>(row);
  backend_->gather_rows({.x = hidden, .rows = {&source, 1}, .out = slot_row(slot)});
}

std::span<std::byte> StateStore::packed_layer(int32_t checkpoint, int64_t layer) const {
  SLUICE_CHECK(checkpoint >= 0 && checkpoint < spec_.slots && layer >= 0 && layer < spec_.layers,
               "layer {} of checkpoint {}", layer, checkpoint);
  const auto place = static_cast<size_t>(checkpoint * spec_.layers + layer);
  return {packed_.data() + place * packing_.bytes(), packing_.bytes()};
}

void StateStore::save(const ops::RecurrentState& running, int32_t slot, int32_t checkpoint) {
  if (packed()) {
    const std::span values(reinterpret_cast<float*>(layer_.data()), packing_.values());
    for (int64_t layer = 0; layer < spec_.layers; ++layer) {
      backend_->export_layer(running, slot, layer, values);
      packing_.pack(values, packed_layer(checkpoint, layer));
    }
  } else {
    backend_->copy_slot(running, slot, *states_, checkpoint);
  }
  if (hidden_.empty()) return;
  const int32_t source = slot;
  backend_->gather_rows({.x = hidden_, .rows = {&source, 1}, .out = checkpoint_row(checkpoint)});
}

ops::View StateStore::restore(int32_t checkpoint, ops::RecurrentState& running, int32_t slot) {
  if (packed()) {
    const std::span values(reinterpret_cast<float*>(layer_.data()), packing_.values());
    for (int64_t layer = 0; layer < spec_.layers; ++layer) {
      packing_.unpack(packed_layer(checkpoint, layer), values);
      backend_->import_layer(running, slot, layer, values);
    }
  } else {
    backend_->copy_slot(*states_, checkpoint, running, slot);
  }
  return hidden_.empty() ? ops::View() : checkpoint_row(checkpoint);
}

void StateStore::export_layer(int32_t checkpoint, int64_t layer, std::span<std::byte> bytes) const {
  SLUICE_CHECK(bytes.size() == packing_.bytes(), "{} bytes for a layer of {}", bytes.size(),
               packing_.bytes());
  if (packed()) {
    std::memcpy(bytes.data(), packed_layer(checkpoint, layer).data(), bytes.size());
  } else {
    backend_->export_layer(*states_, checkpoint, layer,
                           {reinterpret_cast<float*>(bytes.data()), packing_.values()});
  }
}

void StateStore::import_layer(int32_t checkpoint, int64_t layer, std::span<const std::byte> bytes) {
  SLUICE_CHECK(bytes.size() == packing_.bytes(), "{} bytes for a layer of {}", bytes.size(),
               packing_.bytes());
  if (packed()) {
    std::memcpy(packed_layer(checkpoint, layer).data(), bytes.data(), bytes.size());
  } else {
    backend_->import_layer(*states_, checkpoint, layer,
                           {reinterpret_cast<const float*>(bytes.data()), packing_.values()});
  }
}

std::vector<float> StateStore::export_hidden(int32_t checkpoint) const {
  return hidden_.empty() ? std::vector<float>() : backend_->download(checkpoint_row(checkpoint));
}

void StateStore::import_hidden(int32_t checkpoint, std::span<const float> values) {
  if (!hidden_.empty()) backend_->upload(checkpoint_row(checkpoint), values);
}

}  // namespace sluice::runtime
