// Small things that every reader of stored tensors needs. Internal to src/model.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "checkpoint/checkpoint.h"
#include "model/problem.h"
#include "tensor/matrix.h"

namespace sluice::model {

inline bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

inline Format float_format(DType dtype) {
  if (dtype == DType::kF32) return Format::kF32;
  return dtype == DType::kF16 ? Format::kF16 : Format::kBF16;
}

bool is_shape(const checkpoint::StoredTensor& tensor, std::initializer_list<int64_t> shape);
std::string shape_text(const checkpoint::StoredTensor& tensor);  // "[48, 128]"

// Any rank seen as rows x columns; the bytes are the same.
inline Plane plane_of(const checkpoint::StoredTensor& tensor, int64_t rows, int64_t columns) {
  return {tensor.bytes, tensor.dtype, rows, columns};
}

// A tensor of one float (BF16, F16 or F32), or what is wrong with it: rule Q-4 for its shape and
// dtype, Q-5 for a value that is not a positive number.
Result<float> read_scale(const checkpoint::StoredTensor& stored);

inline constexpr const char* kGetAgain = "get the file again, or ask its maker";
inline constexpr const char* kOtherBuild = "use a build in a supported format";

Problem error_problem(const checkpoint::StoredTensor* tensor, std::string message,
                      std::string remedy = kGetAgain);
void add_error(const Status& status, const checkpoint::StoredTensor& tensor,
               std::vector<Problem>& problems);

}  // namespace sluice::model
