// A case of ../shared/goldens: the reference's tensors and the tolerance that its manifest states
// for each.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "checkpoint/checkpoint.h"

namespace sluice::test {

// Values of a stored F32, BF16 or F16 tensor.
std::vector<float> float_values(const checkpoint::StoredTensor& tensor);

class GoldenCase {
 public:
  explicit GoldenCase(const std::filesystem::path& folder);

  bool has(const std::string& name) const { return tensors_->find(name) != nullptr; }
  std::vector<float> floats(const std::string& name) const;
  std::vector<int32_t> integers(const std::string& name) const;
  std::vector<int64_t> shape(const std::string& name) const;
  double tolerance(
      const std::string& name) const;  // of the manifest; fails the test if it states none
  std::vector<std::string> names() const;

 private:
  std::optional<checkpoint::Checkpoint> tensors_;
  Json manifest_;
};

// Largest absolute difference over the largest magnitude of `golden`: the metric of
// ../shared/goldens/README.md.
double peak_error(std::span<const float> values, std::span<const float> golden);

// Rows of a dense matrix.
std::vector<float> rows_of(std::span<const float> matrix, int64_t columns,
                           std::span<const int32_t> rows);

}  // namespace sluice::test
