#include "backend/ref/recurrent_state.h"

#include <algorithm>

#include "backend/ref/delta_rule.h"
#include "backend/ref/ref_backend.h"
#include "base/check.h"

namespace sluice::ref {
namespace {

size_t state_size(const ops::RecurrentSpec& spec) {
  return static_cast<size_t>(spec.value_heads * spec.key_dim * spec.value_dim);
}

size_t columns_size(const ops::RecurrentSpec& spec) {
  return static_cast<size_t>(spec.conv_channels() * (spec.conv_kernel - 1));
}

}  // namespace

SlotStates::SlotStates(const ops::RecurrentSpec& spec) : RecurrentState(spec) {
  const auto rows = [&](int64_t width) {
    return std::vector<float>(static_cast<size_t>(spec.pending_rows * width));
  };
  const auto count = static_cast<size_t>(spec.slots * spec.layers);
  conv_.resize(count);
  delta_.resize(count);
  for (size_t i = 0; i < count; ++i) {
    conv_[i].columns.resize(columns_size(spec));
    conv_[i].pending = rows(spec.conv_channels());
    delta_[i].state.resize(state_size(spec));
    delta_[i].keys = rows(spec.key_width());
    delta_[i].values = rows(spec.value_width());
    delta_[i].beta = rows(spec.value_heads);
    delta_[i].g = rows(spec.value_heads);
  }
}

size_t SlotStates::place(int64_t slot, int64_t layer) const {
  SLUICE_CHECK(slot >= 0 && slot < spec().slots, "slot {} of {}", slot, spec().slots);
  SLUICE_CHECK(layer >= 0 && layer < spec().layers, "layer {} of {}", layer, spec().layers);
  return static_cast<size_t>(slot * spec().layers + layer);
}

void SlotStates::reset(int64_t slot) {
  for (int64_t layer = 0; layer < spec().layers; ++layer) {
    ConvState& c = conv(slot, layer);
    DeltaState& d = delta(slot, layer);
    std::fill(c.columns.begin(), c.columns.end(), 0.0f);
    std::fill(d.state.begin(), d.state.end(), 0.0f);
    c.pending_count = d.pending_count = 0;
  }
}

void SlotStates::copy_committed(const SlotStates& from, int64_t from_slot, int64_t slot) {
  SLUICE_CHECK(
      from.spec().state_bytes() == spec().state_bytes() && from.spec().layers == spec().layers,
      "states of {} and {} bytes", from.spec().state_bytes(), spec().state_bytes());
  for (int64_t layer = 0; layer < spec().layers; ++layer) {
    const size_t source = from.place(from_slot, layer);
    ConvState& c = conv(slot, layer);
    DeltaState& d = delta(slot, layer);
    SLUICE_CHECK(from.conv_[source].pending_count == 0 && from.delta_[source].pending_count == 0,
                 "slot {} has pending rows", from_slot);
    c.columns = from.conv_[source].columns;
    d.state = from.delta_[source].state;
    c.pending_count = d.pending_count = 0;
  }
}

ops::RecurrentImage SlotStates::export_image(int64_t slot) const {
  ops::RecurrentImage image(spec().state_bytes() / sizeof(float));
  const size_t width = spec().layer_values();
  for (int64_t layer = 0; layer < spec().layers; ++layer)
    export_layer(slot, layer, std::span(image).subspan(static_cast<size_t>(layer) * width, width));
  return image;
}

void SlotStates::import_image(int64_t slot, std::span<const float> image) {
  SLUICE_CHECK(image.size() * sizeof(float) == spec().state_bytes(),
               "image of {} values for a state of {} bytes", image.size(), spec().state_bytes());
  const size_t width = spec().layer_values();
  for (int64_t layer = 0; layer < spec().layers; ++layer)
    import_layer(slot, layer, image.subspan(static_cast<size_t>(layer) * width, width));
}

void SlotStates::export_layer(int64_t slot, int64_t layer, std::span<float> image) const {
  SLUICE_CHECK(image.size() == spec().layer_values(), "image of {} values for a layer of {}",
               image.size(), spec().layer_values());
  const size_t i = place(slot, layer);
  const auto columns = std::copy(delta_[i].state.begin(), delta_[i].state.end(), image.begin());
  std::copy(conv_[i].columns.begin(), conv_[i].columns.end(), columns);
}

void SlotStates::import_layer(int64_t slot, int64_t layer, std::span<const float> image) {
  SLUICE_CHECK(image.size() == spec().layer_values(), "image of {} values for a layer of {}",
               image.size(), spec().layer_values());
  ConvState& c = conv(slot, layer);
  DeltaState& d = delta(slot, layer);
  std::copy_n(image.begin(), d.state.size(), d.state.begin());
  image = image.subspan(d.state.size());
  std::copy_n(image.begin(), c.columns.size(), c.columns.begin());
  c.pending_count = d.pending_count = 0;
}

SlotStates& own(ops::RecurrentState& state) {
  auto* mine = dynamic_cast<SlotStates*>(&state);
  SLUICE_CHECK(mine != nullptr, "a recurrent state of another backend");
  return *mine;
}

void commit_conv(const ops::RecurrentSpec& spec, ConvState& conv, int64_t commit) {
  SLUICE_CHECK(commit >= 0 && commit <= conv.pending_count, "commit {} of {} pending rows", commit,
               conv.pending_count);
  const int64_t kept = spec.conv_kernel - 1;
  for (int64_t row = 0; row < commit; ++row) {
    for (int64_t channel = 0; channel < spec.conv_channels() && kept > 0; ++channel) {
      float* columns = conv.columns.data() + channel * kept;
      std::copy(columns + 1, columns + kept, columns);
      columns[kept - 1] = conv.pending[static_cast<size_t>(row * spec.conv_channels() + channel)];
    }
  }
  conv.pending_count = 0;
}

void commit_delta_head(const ops::RecurrentSpec& spec, DeltaState& delta, int64_t commit,
                       int64_t value_head) {
  SLUICE_CHECK(commit >= 0 && commit <= delta.pending_count, "commit {} of {} pending rows", commit,
               delta.pending_count);
  const int64_t key_head = key_head_of(spec, value_head);
  float* state = delta.state.data() + value_head * spec.key_dim * spec.value_dim;
  for (int64_t row = 0; row < commit; ++row) {
    const int64_t gate = row * spec.value_heads + value_head;
    const DeltaRow pending = {
        .key = delta.keys.data() + row * spec.key_width() + key_head * spec.key_dim,
        .value = delta.values.data() + row * spec.value_width() + value_head * spec.value_dim,
        .beta = delta.beta[static_cast<size_t>(gate)],
        .g = delta.g[static_cast<size_t>(gate)],
    };
    delta_step(state, spec.key_dim, spec.value_dim, pending);
  }
}

// ---- RefBackend's part of it

namespace {
const SlotStates& own(const ops::RecurrentState& state) {
  const auto* mine = dynamic_cast<const SlotStates*>(&state);
  SLUICE_CHECK(mine != nullptr, "a recurrent state of another backend");
  return *mine;
}
}  // namespace

Result<std::unique_ptr<ops::RecurrentState>> RefBackend::create_recurrent_state(
    const ops::RecurrentSpec& spec) {
  SLUICE_CHECK(spec.layers >= 0 && spec.slots >= 0 && spec.pending_rows >= 0,
               "layers {} slots {} pending_rows {}", spec.layers, spec.slots, spec.pending_rows);
  SLUICE_CHECK(spec.key_heads > 0 && spec.value_heads > 0 && spec.key_dim > 0 &&
                   spec.value_dim > 0 && spec.conv_kernel > 0,
               "key_heads {} value_heads {} key_dim {} value_dim {} conv_kernel {}", spec.key_heads,
               spec.value_heads, spec.key_dim, spec.value_dim, spec.conv_kernel);
  SLUICE_CHECK(spec.value_heads % spec.key_heads == 0, "value_heads {} for key_heads {}",
               spec.value_heads, spec.key_heads);
  return or_does_not_fit<ops::RecurrentState>(
      "recurrent state",
      (spec.state_bytes() + spec.pending_bytes()) * static_cast<size_t>(spec.slots),
      [&] { return std::make_unique<SlotStates>(spec); });
}

void RefBackend::reset_slot(ops::RecurrentState& state, int64_t slot) { own(state).reset(slot); }

void RefBackend::flush_slot(ops::RecurrentState& state, int64_t slot, int64_t commit) {
  SlotStates& slots = own(state);
  const ops::RecurrentSpec& spec = slots.spec();
  for (int64_t layer = 0; layer < spec.layers; ++layer) {
    commit_conv(spec, slots.conv(slot, layer), commit);
    DeltaState& delta = slots.delta(slot, layer);
    for (int64_t head = 0; head < spec.value_heads; ++head) {
      commit_delta_head(spec, delta, commit, head);
    }
    forget_pending(delta);
  }
}

void RefBackend::copy_slot(const ops::RecurrentState& from, int64_t from_slot,
                           ops::RecurrentState& to, int64_t to_slot) {
  own(to).copy_committed(own(from), from_slot, to_slot);
}

ops::RecurrentImage RefBackend::export_slot(const ops::RecurrentState& state, int64_t slot) {
  return own(state).export_image(slot);
}

void RefBackend::import_slot(ops::RecurrentState& state, int64_t slot,
                             const ops::RecurrentImage& image) {
  own(state).import_image(slot, image);
}

void RefBackend::export_layer(const ops::RecurrentState& state, int64_t slot, int64_t layer,
                              std::span<float> image) {
  own(state).export_layer(slot, layer, image);
}

void RefBackend::import_layer(ops::RecurrentState& state, int64_t slot, int64_t layer,
                              std::span<const float> image) {
  own(state).import_layer(slot, layer, image);
}

}  // namespace sluice::ref
