// The memory of saved recurrent states (checkpoints): of all GDN layers, and for the draft head the
// hidden vector before the position. Taken once; which place holds what is the prefix tree's
// business.
//
// As F32 a checkpoint is a slot of the backend's own. In a form of fewer bits (packed_state.h) it
// lies in host memory and goes through one layer of F32 values at a time, on the caller's thread:
// the conversions take about as long as the memory does (docs/decisions/saved-states.md).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/memory.h"
#include "base/result.h"
#include "model/text/text_model.h"
#include "ops/backend.h"
#include "runtime/cache/packed_state.h"

namespace sluice::runtime {

class StateStore {
 public:
  // A checkpoint for each slot of `spec`, whose pending rows do not count. `slots`: of the running
  // sequences, whose last hidden vectors are kept here too, if they are `hidden` wide and not 0.
  static Result<std::unique_ptr<StateStore>> create(ops::Backend& backend, ops::RecurrentSpec spec,
                                                    StateForm form, int64_t slots, int64_t hidden);
  // Bytes of one checkpoint.
  static size_t bytes(const model::TextConfig& config, bool with_hidden, StateForm form);
  // What a store takes in all.
  static size_t memory(const model::TextConfig& config, int64_t slots, int64_t checkpoints,
                       bool with_hidden, StateForm form);

  // The hidden vector of the last row that a slot's sequence kept of this step.
  void note_hidden(int32_t slot, const ops::View& hidden, int64_t row);

  // Nothing may be pending in the slot.
  void save(const ops::RecurrentState& running, int32_t slot, int32_t checkpoint);
  // Returns the hidden vector, [1, H], valid as long as the store; empty without.
  ops::View restore(int32_t checkpoint, ops::RecurrentState& running, int32_t slot);

  // What a checkpoint holds, for keeping it elsewhere: the state by layers, packing().bytes() each
  // and aligned to 4, and the hidden vector (none without). Layers may be taken out beside anything
  // that leaves the checkpoint alone.
  const ops::RecurrentSpec& spec() const { return spec_; }
  const StatePacking& packing() const { return packing_; }
  void export_layer(int32_t checkpoint, int64_t layer, std::span<std::byte> bytes) const;
  void import_layer(int32_t checkpoint, int64_t layer, std::span<const std::byte> bytes);
  std::vector<float> export_hidden(int32_t checkpoint) const;
  void import_hidden(int32_t checkpoint, std::span<const float> values);

 private:
  StateStore() = default;
  bool packed() const { return packing_.form() != StateForm::kF32; }
  std::span<std::byte> packed_layer(int32_t checkpoint, int64_t layer) const;
  ops::View slot_row(int32_t slot) const { return hidden_.row_range(slot, 1); }
  ops::View checkpoint_row(int32_t checkpoint) const {
    return hidden_.row_range(slots_ + checkpoint, 1);
  }

  ops::Backend* backend_ = nullptr;
  ops::RecurrentSpec spec_;
  StatePacking packing_;
  std::unique_ptr<ops::RecurrentState> states_;  // of F32 checkpoints
  PageBlock packed_;                             // of all others: [checkpoints, layers]
  PageBlock layer_;                              // one layer's values on their way
  std::unique_ptr<ops::DeviceBuffer> buffer_;
  ops::View hidden_;  // [slots + checkpoints, H]; empty without
  int64_t slots_ = 0;
};

}  // namespace sluice::runtime
