#include "model/golden.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "base/file.h"
#include "codec/codec.h"

namespace sluice::test {

using checkpoint::StoredTensor;

namespace {

template <typename T>
T value_of(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.error().message());
  return *std::move(result);
}

const StoredTensor& require(const checkpoint::Checkpoint& tensors, const std::string& name) {
  const StoredTensor* tensor = tensors.find(name);
  if (tensor == nullptr) throw std::runtime_error("no golden " + name);
  return *tensor;
}

}  // namespace

std::vector<float> float_values(const StoredTensor& tensor) {
  EncodedMatrix matrix;
  matrix.format = tensor.dtype == DType::kF32   ? Format::kF32
                  : tensor.dtype == DType::kF16 ? Format::kF16
                                                : Format::kBF16;
  matrix.rows = 1;
  matrix.columns = tensor.elements();
  matrix.codes = {tensor.bytes, tensor.dtype, 1, matrix.columns};
  const Status status = codec::check_matrix(matrix, tensor.name);
  if (!status.ok()) throw std::runtime_error(status.error().message());
  std::vector<float> values(static_cast<size_t>(matrix.columns));
  codec::decode_rows(matrix, 0, 1, values.data());
  return values;
}

GoldenCase::GoldenCase(const std::filesystem::path& folder) {
  tensors_ = value_of(checkpoint::Checkpoint::open(folder / "goldens.safetensors"));
  manifest_ = value_of(parse_json(value_of(read_file(folder / "manifest.json", 1 << 24))));
}

std::vector<float> GoldenCase::floats(const std::string& name) const {
  return float_values(require(*tensors_, name));
}

std::vector<int32_t> GoldenCase::integers(const std::string& name) const {
  const StoredTensor& tensor = require(*tensors_, name);
  if (tensor.dtype != DType::kI32) throw std::runtime_error(name + " is not I32");
  std::vector<int32_t> values(static_cast<size_t>(tensor.elements()));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

std::vector<int64_t> GoldenCase::shape(const std::string& name) const {
  return require(*tensors_, name).shape;
}

double GoldenCase::tolerance(const std::string& name) const {
  const Json* entry = manifest_.find("tensors");
  entry = entry != nullptr ? entry->find(name) : nullptr;
  const Json* tolerance = entry != nullptr ? entry->find("tolerance") : nullptr;
  if (tolerance == nullptr)
    throw std::runtime_error("the manifest states no tolerance for " + name);
  return tolerance->as_double().value();
}

std::vector<std::string> GoldenCase::names() const {
  std::vector<std::string> names;
  for (const StoredTensor& tensor : tensors_->tensors()) names.push_back(tensor.name);
  return names;
}

double peak_error(std::span<const float> values, std::span<const float> golden) {
  if (values.size() != golden.size()) return std::numeric_limits<double>::infinity();
  double peak = 0, worst = 0;
  for (size_t i = 0; i < golden.size(); ++i) {
    const double difference = std::abs(double{values[i]} - double{golden[i]});
    if (!(difference <= worst)) worst = difference;  // NaN wins
    peak = std::max(peak, std::abs(double{golden[i]}));
  }
  return worst == 0 ? 0 : worst / peak;
}

std::vector<float> rows_of(std::span<const float> matrix, int64_t columns,
                           std::span<const int32_t> rows) {
  std::vector<float> result;
  for (const int32_t row : rows) {
    const auto begin = matrix.begin() + row * columns;
    result.insert(result.end(), begin, begin + columns);
  }
  return result;
}

}  // namespace sluice::test
