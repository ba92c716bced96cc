// A table that rows are looked up in: stays as it is stored and is decoded row by row.
#pragma once

#include "ops/backend.h"
#include "tensor/matrix.h"

namespace sluice::cpu {

class LookupMatrix final : public ops::Matrix {
 public:
  explicit LookupMatrix(const EncodedMatrix& source) : Matrix(source, 0), encoded_(source) {}

  const EncodedMatrix& encoded() const { return encoded_; }

 private:
  EncodedMatrix encoded_;  // borrows the source's bytes
};

}  // namespace sluice::cpu
