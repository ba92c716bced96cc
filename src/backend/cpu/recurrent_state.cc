#include "backend/cpu/recurrent_state.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "backend/cpu/block.h"
#include "base/check.h"

namespace sluice::cpu {
namespace {

Status check_limit(const char* what, int64_t value, int64_t limit) {
  if (value <= limit) return {};
  return bad_input(what,
                   std::to_string(value) + " is more than the CPU backend's kernels hold (" +
                       std::to_string(limit) + ")",
                   "Use --backend ref");
}

}  // namespace

Result<std::unique_ptr<ops::RecurrentState>> SlotStates::create(const ops::RecurrentSpec& spec,
                                                                ThreadPool& pool) {
  SLUICE_CHECK(spec.layers >= 0 && spec.slots >= 0 && spec.pending_rows >= 0,
               "layers {} slots {} pending_rows {}", spec.layers, spec.slots, spec.pending_rows);
  SLUICE_CHECK(spec.key_heads > 0 && spec.value_heads > 0 && spec.key_dim > 0 &&
                   spec.value_dim > 0 && spec.conv_kernel > 0,
               "key_heads {} value_heads {} key_dim {} value_dim {} conv_kernel {}", spec.key_heads,
               spec.value_heads, spec.key_dim, spec.value_dim, spec.conv_kernel);
  SLUICE_CHECK(spec.value_heads % spec.key_heads == 0, "value_heads {} for key_heads {}",
               spec.value_heads, spec.key_heads);
  SLUICE_TRY(check_limit("key_dim of the recurrent state", spec.key_dim, kMaxKeyDim));
  SLUICE_TRY(check_limit("convolution kernel", spec.conv_kernel, kMaxConvKernel));
  SLUICE_TRY(check_limit("pending rows (draft depth + 1)", spec.pending_rows, kMaxPendingRows));
  const size_t slot = spec.state_bytes() + spec.pending_bytes();
  const auto slots = static_cast<size_t>(spec.slots);
  const size_t bytes = slot != 0 && slots > std::numeric_limits<size_t>::max() / slot
                           ? std::numeric_limits<size_t>::max()
                           : slot * slots;
  SLUICE_ASSIGN(PageBlock block, take_shared_block("recurrent state", bytes, pool));
  return std::unique_ptr<ops::RecurrentState>(new SlotStates(spec, std::move(block)));
}

SlotStates::SlotStates(const ops::RecurrentSpec& spec, PageBlock block)
    : RecurrentState(spec),
      memory_(std::move(block)),
      pending_(static_cast<size_t>(spec.slots * spec.layers * 2)) {}

int64_t SlotStates::layer_floats() const {
  const auto bytes = static_cast<int64_t>(spec().state_bytes() + spec().pending_bytes());
  return bytes / static_cast<int64_t>(sizeof(float)) / spec().layers;
}

LayerState SlotStates::layer(int64_t slot, int64_t layer) const {
  const ops::RecurrentSpec& s = spec();
  SLUICE_CHECK(slot >= 0 && slot < s.slots, "slot {} of {}", slot, s.slots);
  SLUICE_CHECK(layer >= 0 && layer < s.layers, "layer {} of {}", layer, s.layers);
  const int64_t place = slot * s.layers + layer;
  float* at = reinterpret_cast<float*>(memory_.data()) + place * layer_floats();
  const auto take = [&](int64_t count) { return std::exchange(at, at + count); };
  LayerState out;
  out.states = take(s.value_heads * s.key_dim * s.value_dim);
  out.columns = take((s.conv_kernel - 1) * s.conv_channels());
  out.keys = take(s.pending_rows * s.key_width());
  out.changes = take(s.pending_rows * s.value_width());
  out.decays = take(s.pending_rows * s.value_heads);
  out.raw = take(s.pending_rows * s.conv_channels());
  out.conv_pending = pending_.data() + 2 * place;
  out.delta_pending = out.conv_pending + 1;
  return out;
}

int64_t SlotStates::block_width(int64_t block) const {
  return std::min(kStateColumns, spec().value_dim - block * kStateColumns);
}

float* SlotStates::block(const LayerState& layer, int64_t value_head, int64_t block) const {
  return layer.states + (value_head * spec().value_dim + block * kStateColumns) * spec().key_dim;
}

int64_t SlotStates::key_head_of(int64_t value_head) const {
  const ops::RecurrentSpec& s = spec();
  return s.head_order == ops::HeadOrder::kGrouped ? value_head / (s.value_heads / s.key_heads)
                                                  : value_head % s.key_heads;
}

void SlotStates::reset(int64_t slot) {
  for (int64_t index = 0; index < spec().layers; ++index) {
    const LayerState state = layer(slot, index);
    std::fill(state.states, state.keys, 0.0f);  // states and columns
    *state.conv_pending = *state.delta_pending = 0;
  }
}

void SlotStates::copy_committed(const SlotStates& from, int64_t from_slot, int64_t slot) {
  SLUICE_CHECK(
      from.spec().state_bytes() == spec().state_bytes() && from.spec().layers == spec().layers,
      "states of {} and {} bytes", from.spec().state_bytes(), spec().state_bytes());
  for (int64_t index = 0; index < spec().layers; ++index) {
    const LayerState source = from.layer(from_slot, index), target = layer(slot, index);
    SLUICE_CHECK(*source.conv_pending == 0 && *source.delta_pending == 0,
                 "slot {} has pending rows", from_slot);
    std::copy(source.states, source.keys, target.states);  // states and columns
    *target.conv_pending = *target.delta_pending = 0;
  }
}

ops::RecurrentImage SlotStates::export_image(int64_t slot) const {
  ops::RecurrentImage image(spec().state_bytes() / sizeof(float));
  const size_t width = spec().layer_values();
  for (int64_t index = 0; index < spec().layers; ++index)
    export_layer(slot, index, std::span(image).subspan(static_cast<size_t>(index) * width, width));
  return image;
}

void SlotStates::import_image(int64_t slot, std::span<const float> image) {
  SLUICE_CHECK(image.size() * sizeof(float) == spec().state_bytes(),
               "image of {} values for a state of {} bytes", image.size(), spec().state_bytes());
  const size_t width = spec().layer_values();
  for (int64_t index = 0; index < spec().layers; ++index)
    import_layer(slot, index, image.subspan(static_cast<size_t>(index) * width, width));
}

void SlotStates::export_layer(int64_t slot, int64_t index, std::span<float> image) const {
  const ops::RecurrentSpec& s = spec();
  SLUICE_CHECK(image.size() == s.layer_values(), "image of {} values for a layer of {}",
               image.size(), s.layer_values());
  const LayerState state = layer(slot, index);
  float* to = image.data();
  for (int64_t head = 0; head < s.value_heads; ++head) {
    for (int64_t k = 0; k < s.key_dim; ++k) {
      for (int64_t b = 0; b < blocks(); ++b)
        to = std::copy_n(block(state, head, b) + k * block_width(b), block_width(b), to);
    }
  }
  const int64_t kept = s.conv_kernel - 1, channels = s.conv_channels();
  for (int64_t channel = 0; channel < channels; ++channel) {
    for (int64_t i = 0; i < kept; ++i) *to++ = state.columns[i * channels + channel];
  }
}

void SlotStates::import_layer(int64_t slot, int64_t index, std::span<const float> image) {
  const ops::RecurrentSpec& s = spec();
  SLUICE_CHECK(image.size() == s.layer_values(), "image of {} values for a layer of {}",
               image.size(), s.layer_values());
  const LayerState state = layer(slot, index);
  const float* from = image.data();
  for (int64_t head = 0; head < s.value_heads; ++head) {
    for (int64_t k = 0; k < s.key_dim; ++k) {
      for (int64_t b = 0; b < blocks(); ++b) {
        std::copy_n(from, block_width(b), block(state, head, b) + k * block_width(b));
        from += block_width(b);
      }
    }
  }
  const int64_t kept = s.conv_kernel - 1, channels = s.conv_channels();
  for (int64_t channel = 0; channel < channels; ++channel) {
    for (int64_t i = 0; i < kept; ++i) state.columns[i * channels + channel] = *from++;
  }
  *state.conv_pending = *state.delta_pending = 0;
}

SlotStates& own(ops::RecurrentState& state) {
  auto* mine = dynamic_cast<SlotStates*>(&state);
  SLUICE_CHECK(mine != nullptr, "a recurrent state of another backend");
  return *mine;
}

const SlotStates& own(const ops::RecurrentState& state) {
  const auto* mine = dynamic_cast<const SlotStates*>(&state);
  SLUICE_CHECK(mine != nullptr, "a recurrent state of another backend");
  return *mine;
}

}  // namespace sluice::cpu
