// Weights of the reference backend: a product matrix is decoded to F32 once, a lookup table stays
// as it is stored and is decoded row by row.
#pragma once

#include <vector>

#include "ops/backend.h"

namespace sluice::ref {

class ProductMatrix final : public ops::Matrix {
 public:
  ProductMatrix(const EncodedMatrix& source, std::vector<float> values)
      : Matrix(source, values.size() * sizeof(float)), values_(std::move(values)) {}

  const float* row(int64_t index) const { return values_.data() + index * columns(); }

 private:
  std::vector<float> values_;
};

class LookupMatrix final : public ops::Matrix {
 public:
  explicit LookupMatrix(const EncodedMatrix& source) : Matrix(source, 0), encoded_(source) {}

  const EncodedMatrix& encoded() const { return encoded_; }

 private:
  EncodedMatrix encoded_;  // borrows the source's bytes
};

}  // namespace sluice::ref
