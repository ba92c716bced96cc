#include "model/stored_values.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "codec/codec.h"

namespace sluice::model {

using checkpoint::StoredTensor;

bool is_shape(const StoredTensor& tensor, std::initializer_list<int64_t> shape) {
  return std::equal(tensor.shape.begin(), tensor.shape.end(), shape.begin(), shape.end());
}

std::string shape_text(const StoredTensor& tensor) {
  return fmt::format("[{}]", fmt::join(tensor.shape, ", "));
}

Problem error_problem(const StoredTensor* tensor, std::string message, std::string remedy) {
  return {Problem::Severity::kError, tensor != nullptr ? tensor->name : "", std::move(message),
          std::move(remedy)};
}

void add_error(const Status& status, const StoredTensor& tensor, std::vector<Problem>& problems) {
  if (status.ok()) return;
  problems.push_back(error_problem(&tensor, status.error().why, status.error().remedy));
}

Result<float> read_scale(const StoredTensor& stored) {
  if (!is_float(stored.dtype) || stored.elements() != 1) {
    return bad_input(stored.name, fmt::format("Q-4: has dtype {} and shape {}, expected one float",
                                              dtype_name(stored.dtype), shape_text(stored)));
  }
  EncodedMatrix matrix;
  matrix.format = float_format(stored.dtype);
  matrix.rows = matrix.columns = 1;
  matrix.codes = plane_of(stored, 1, 1);
  SLUICE_TRY(codec::check_matrix(matrix, stored.name));
  float value = 0;
  codec::decode_rows(matrix, 0, 1, &value);
  if (!std::isfinite(value) || value <= 0)
    return bad_input(stored.name, fmt::format("Q-5: is {}, not a positive number", value));
  return value;
}

}  // namespace sluice::model
