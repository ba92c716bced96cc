// Readings that no config has a say in: GGUF weights, and plain vectors of either container.
#include "model/module_reading.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "codec/codec.h"
#include "model/stored_values.h"

namespace sluice::model {

using checkpoint::StoredTensor;

ModuleReading read_gguf_module(const ExpectedWeight& expected, const ModuleTensors& tensors) {
  ModuleReading out;
  const auto it = tensors.find("weight");
  if (it == tensors.end()) {
    out.problems.push_back(error_problem(
        nullptr, fmt::format("GG-16: {}.weight is missing ({})", expected.module, expected.role)));
    return out;
  }
  const StoredTensor& stored = *it->second;
  out.used.push_back({&stored, ""});
  const std::optional<Format> format = self_contained_format(stored.dtype);
  if (!format) {
    out.problems.push_back(error_problem(
        &stored,
        fmt::format("GG-17: type {} is not supported for a weight", dtype_name(stored.dtype))));
    return out;
  }
  if (!is_shape(stored, {expected.rows, expected.columns})) {
    out.problems.push_back(
        error_problem(&stored, fmt::format("GG-16: has shape {}, the metadata need [{}, {}]",
                                           shape_text(stored), expected.rows, expected.columns)));
    return out;
  }
  EncodedMatrix matrix;
  matrix.format = *format;
  matrix.rows = expected.rows;
  matrix.columns = expected.columns;
  matrix.codes = plane_of(stored, expected.rows, expected.columns);
  // Scales beside an NVFP4 tensor (formats-gguf.md 3.3); the activation's is read by no known
  // engine.
  for (const char* leaf : {"scale", "input_scale"}) {
    const auto found = tensors.find(leaf);
    if (found == tensors.end()) continue;
    const bool input = found->first == "input_scale";
    out.used.push_back({found->second, input ? "input scale" : "tensor scale"});
    Result<float> value = read_scale(*found->second);
    if (!value.ok()) {
      out.problems.push_back(error_problem(found->second, value.error().why));
      return out;
    }
    (input ? matrix.input_scale : matrix.tensor_scale) = {TensorScale::Use::kMultiply, *value};
  }
  Status status = codec::check_matrix(matrix, stored.name);
  if (status.ok()) status = codec::check_scales(matrix, stored.name);
  if (status.ok()) out.matrix = matrix;
  add_error(status, stored, out.problems);
  return out;
}

ModuleReading read_vector(const ExpectedWeight& expected, const StoredTensor& stored) {
  ModuleReading out;
  out.used.push_back({&stored, ""});
  if (!is_float(stored.dtype)) {
    out.problems.push_back(error_problem(
        &stored,
        fmt::format("Q-4: has dtype {}, expected BF16, F16 or F32", dtype_name(stored.dtype))));
    return out;
  }
  // Convolutions carry a dimension of one before (HF) or after the kernel (MLX); the bytes lie the
  // same.
  const int64_t n = expected.rows, k = expected.columns;
  const bool fits = n == 1 ? is_shape(stored, {k})
                           : is_shape(stored, {n, k}) || is_shape(stored, {n, 1, k}) ||
                                 is_shape(stored, {n, k, 1});
  if (!fits) {
    const std::string wanted = n == 1 ? fmt::format("[{}]", k) : fmt::format("[{}, 1, {}]", n, k);
    out.problems.push_back(
        error_problem(&stored, fmt::format("Q-13: has shape {}, the model's geometry needs {}",
                                           shape_text(stored), wanted)));
    return out;
  }
  EncodedMatrix matrix;
  matrix.format = float_format(stored.dtype);
  matrix.rows = n;
  matrix.columns = k;
  matrix.codes = plane_of(stored, n, k);
  Status status = codec::check_matrix(matrix, stored.name);
  if (status.ok()) status = codec::check_codes(matrix, stored.name);
  if (!status.ok()) {
    add_error(status, stored, out.problems);
    return out;
  }
  if (expected.leaf == "A_log") {
    std::vector<float> values(static_cast<size_t>(n * k));
    codec::decode_rows(matrix, 0, n, values.data());
    for (const float value : values) {
      const bool raw = expected.transform == Transform::kMinusExp;
      if (raw ? std::isfinite(std::exp(value)) : value < 0) continue;
      out.problems.push_back(error_problem(
          &stored, raw ? fmt::format("Q-5: A_log {} has no finite exponential", value)
                       : fmt::format("GG-17: holds {}, but -exp(A_log) is negative", value)));
      return out;
    }
  }
  out.matrix = matrix;
  return out;
}

}  // namespace sluice::model
