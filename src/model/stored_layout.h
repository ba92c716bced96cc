// What the stored tensors of one safetensors module can mean, by their dtypes and shapes alone: the
// detection table of formats-safetensors.md section 2. Internal to src/model.
#pragma once

#include <vector>

#include "model/module_reading.h"

namespace sluice::model {

struct StoredLayout {
  // Meanings that the tensors can have, the likeliest first; empty if they make no weight (a
  // problem says why).
  std::vector<StoredScheme> possible;
  // Codes, scales and what follows from their shapes. Format, extent of a scale (FP8) and
  // activations depend on the meaning and are left to the caller; plain floats are complete.
  EncodedMatrix matrix;
  const checkpoint::StoredTensor* codes = nullptr;
  const checkpoint::StoredTensor* scales = nullptr;       // null for plain floats
  const checkpoint::StoredTensor* input_scale = nullptr;  // null if there is none
  bool input_scale_divides = false;  // compressed-tensors stores the reciprocal
  std::vector<UsedTensor>
      used;  // codes first; without scales and input scale, which may turn out to be orphans
  std::vector<Problem> problems;
};

StoredLayout read_stored_layout(const ExpectedWeight& expected, const ModuleTensors& tensors);

}  // namespace sluice::model
