// What GDN layers keep per slot on the CPU: states in column blocks, convolution columns, and the
// pending rows of the deferred commit (design.md section 3).
//
// One block of memory, [slot][layer]{S, columns, pending keys, changes, decays, raw inputs},
// within RecurrentSpec::state_bytes() + pending_bytes() a slot (beta need not be kept).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/cpu/vector/gdn_kernels.h"
#include "base/memory.h"
#include "base/result.h"
#include "base/threads.h"
#include "ops/backend.h"

namespace sluice::cpu {

// Largest sizes that the fixed scratch of the kernels holds; published models have 128, 4 and 4.
inline constexpr int64_t kMaxKeyDim = 256;
inline constexpr int64_t kMaxConvKernel = 8;
inline constexpr int64_t kMaxPendingRows = 32;

// Convolution and delta rule of a layer are two operations of one step, and each sees the step's
// commit: so each has a count of pending rows of its own.
struct LayerState {
  float* states = nullptr;   // [value_heads] of column blocks, see block()
  float* columns = nullptr;  // [conv_kernel - 1, channels], oldest first
  // [pending_rows, ...]:
  float* keys = nullptr;     // key_width, normalized
  float* changes = nullptr;  // value_width: d of the delta rule, see vector/gdn_kernels.h
  float* decays = nullptr;   // value_heads: e^g, as the kernels computed it
  float* raw = nullptr;      // channels
  int32_t* conv_pending = nullptr;
  int32_t* delta_pending = nullptr;
};

class SlotStates final : public ops::RecurrentState {
 public:
  static Result<std::unique_ptr<ops::RecurrentState>> create(const ops::RecurrentSpec& spec,
                                                             ThreadPool& pool);

  LayerState layer(int64_t slot, int64_t layer) const;

  // Column blocks of a head; all are 32 wide except possibly the last.
  int64_t blocks() const { return (spec().value_dim + kStateColumns - 1) / kStateColumns; }
  int64_t block_width(int64_t block) const;
  // [key_dim, block_width] of a layer's states.
  float* block(const LayerState& layer, int64_t value_head, int64_t block) const;
  int64_t key_head_of(int64_t value_head) const;

  void reset(int64_t slot);
  void copy_committed(const SlotStates& from, int64_t from_slot, int64_t slot);
  ops::RecurrentImage export_image(int64_t slot) const;
  void import_image(int64_t slot, std::span<const float> image);
  // One layer of such an image.
  void export_layer(int64_t slot, int64_t layer, std::span<float> image) const;
  void import_layer(int64_t slot, int64_t layer, std::span<const float> image);

 private:
  SlotStates(const ops::RecurrentSpec& spec, PageBlock block);
  int64_t layer_floats() const;

  PageBlock memory_;
  mutable std::vector<int32_t> pending_;  // [slots, layers, 2]
};

SlotStates& own(ops::RecurrentState& state);
const SlotStates& own(const ops::RecurrentState& state);

}  // namespace sluice::cpu
