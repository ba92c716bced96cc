// A weight in the layout of the product kernels, and the pass that makes it.
#pragma once

#include <cstddef>

#include "backend/cpu/detect.h"
#include "backend/cpu/product.h"
#include "base/memory.h"
#include "base/threads.h"
#include "ops/backend.h"
#include "tensor/matrix.h"

namespace sluice::cpu {

class PackedMatrix final : public ops::Matrix {
 public:
  // Streams once through the source (packing.h).
  PackedMatrix(const EncodedMatrix& source, InstructionSet set, ops::ActivationMode mode,
               ThreadPool& pool);

  const PackedView& view() const { return view_; }
  InstructionSet set() const { return set_; }
  // Never kByFormat: what that is for this format.
  ops::ActivationMode mode() const { return mode_; }
  // What the build's recipe does to this matrix' inputs.
  ActivationScheme activations() const { return activations_; }
  const TensorScale& input_scale() const { return input_scale_; }

  static size_t bytes_for(const EncodedMatrix& source);

 private:
  PageBlock block_;
  PackedView view_;
  InstructionSet set_;
  ops::ActivationMode mode_ = ops::ActivationMode::kWide;
  ActivationScheme activations_;
  TensorScale input_scale_;
};

}  // namespace sluice::cpu
