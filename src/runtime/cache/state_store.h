// The memory of saved recurrent states (checkpoints): of all GDN layers, and for the draft head the
// hidden vector before the position. Taken once; which place holds what is the prefix tree's
// business.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "model/text/text_model.h"
#include "ops/backend.h"

namespace sluice::runtime {

class StateStore {
 public:
  // `slots`: of the running sequences, whose last hidden vectors are kept here too, if
  // `with_hidden`.
  static Result<std::unique_ptr<StateStore>> create(const model::TextModel& model, int64_t slots,
                                                    int64_t checkpoints, bool with_hidden);
  // Bytes of one checkpoint.
  static size_t bytes(const model::TextConfig& config, bool with_hidden);

  // The hidden vector of the last row that a slot's sequence kept of this step.
  void note_hidden(int32_t slot, const ops::View& hidden, int64_t row);

  // Nothing may be pending in the slot.
  void save(const ops::RecurrentState& running, int32_t slot, int32_t checkpoint);
  // Returns the hidden vector, [1, H], valid as long as the store; empty without.
  ops::View restore(int32_t checkpoint, ops::RecurrentState& running, int32_t slot);

  // What a checkpoint holds, for keeping it elsewhere: the state by layers, as ops::RecurrentImage
  // has it, and the hidden vector (none without). Layers may be taken out beside anything that
  // leaves the checkpoint alone.
  const ops::RecurrentSpec& spec() const { return states_->spec(); }
  void export_layer(int32_t checkpoint, int64_t layer, std::span<float> values) const;
  void import_layer(int32_t checkpoint, int64_t layer, std::span<const float> values);
  std::vector<float> export_hidden(int32_t checkpoint) const;
  void import_hidden(int32_t checkpoint, std::span<const float> values);

 private:
  StateStore() = default;
  ops::View slot_row(int32_t slot) const { return hidden_.row_range(slot, 1); }
  ops::View checkpoint_row(int32_t checkpoint) const {
    return hidden_.row_range(slots_ + checkpoint, 1);
  }

  ops::Backend* backend_ = nullptr;
  std::unique_ptr<ops::RecurrentState> states_;
  std::unique_ptr<ops::DeviceBuffer> buffer_;
  ops::View hidden_;  // [slots + checkpoints, H]; empty without
  int64_t slots_ = 0;
};

}  // namespace sluice::runtime
