// What the GDN layers of the reference backend keep per slot: the committed state, and the pending
// rows of the deferred commit (design.md section 3).
#pragma once

#include <span>
#include <vector>

#include "ops/backend.h"

namespace sluice::ref {

// Convolution side of one slot and layer. The convolution and the delta rule of a layer are two
// operations of one step and both see the segment's `commit`, so each has pending rows of its own.
struct ConvState {
  std::vector<float> columns;  // [channels, conv_kernel - 1], oldest first
  std::vector<float> pending;  // raw input, [pending_rows, channels]
  int64_t pending_count = 0;
};

// Delta-rule side.
struct DeltaState {
  std::vector<float> state;    // S [value_heads, key_dim, value_dim]
  std::vector<float> keys;     // pending: [pending_rows, key_width], normalized
  std::vector<float> values;   // [pending_rows, value_width]
  std::vector<float> beta, g;  // [pending_rows, value_heads]
  int64_t pending_count = 0;
};

class SlotStates final : public ops::RecurrentState {
 public:
  explicit SlotStates(const ops::RecurrentSpec& spec);

  ConvState& conv(int64_t slot, int64_t layer) { return conv_[place(slot, layer)]; }
  DeltaState& delta(int64_t slot, int64_t layer) { return delta_[place(slot, layer)]; }

  void reset(int64_t slot);
  void copy_committed(const SlotStates& from, int64_t from_slot, int64_t slot);
  ops::RecurrentImage export_image(int64_t slot) const;
  void import_image(int64_t slot, std::span<const float> image);
  // One layer of such an image.
  void export_layer(int64_t slot, int64_t layer, std::span<float> image) const;
  void import_layer(int64_t slot, int64_t layer, std::span<const float> image);

 private:
  size_t place(int64_t slot, int64_t layer) const;

  std::vector<ConvState> conv_;    // [slots, layers]
  std::vector<DeltaState> delta_;  // [slots, layers]
};

SlotStates& own(ops::RecurrentState& state);

// Applies the first `commit` pending rows to the columns, in order, and forgets all of them.
// A commit of more rows than are pending is a contract violation, here and below.
void commit_conv(const ops::RecurrentSpec& spec, ConvState& conv, int64_t commit);

// The same for the delta rule in two parts, because heads commit independently: each value head
// applies the rows to its own state, then the rows are forgotten once.
void commit_delta_head(const ops::RecurrentSpec& spec, DeltaState& delta, int64_t commit,
                       int64_t value_head);
inline void forget_pending(DeltaState& delta) { delta.pending_count = 0; }

}  // namespace sluice::ref
