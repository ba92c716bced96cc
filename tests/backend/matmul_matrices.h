// Random weights in every stored form, for the tests of the packed products.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/matrix.h"

namespace sluice::test {

// A form of a format: what a file can vary (scale dtype, group, packing).
struct MatrixForm {
  std::string name;
  Format format = Format::kF32;
  int64_t block_columns = 0;  // of one scale; 0: the whole row
  DType scale_dtype = DType::kF32;
  TensorScale::Use tensor_scale = TensorScale::Use::kNone;
  int bits = 0;
  bool packed = false, zero_points = false, per_tensor = false;
  int64_t column_step = 1;  // columns must be a multiple of this
};

const std::vector<MatrixForm>& all_forms();

// Owns the bytes of a matrix of random codes under scales of ordinary size (weights near +-0.1).
class RandomMatrix {
 public:
  RandomMatrix(const MatrixForm& form, int64_t rows, int64_t columns, uint64_t seed);
  RandomMatrix(const RandomMatrix&) = delete;
  RandomMatrix& operator=(const RandomMatrix&) = delete;

  const EncodedMatrix& encoded() const { return matrix_; }
  // The first rows of it, as a matrix of its own over the same bytes.
  EncodedMatrix first_rows(int64_t rows) const;
  std::vector<float> decoded() const;

 private:
  void fill_fp8(uint64_t seed);
  void fill_fp4(uint64_t seed);
  void fill_integers(uint64_t seed);
  void fill_ggml(uint64_t seed);
  void fill_scales(int64_t rows, int64_t columns, uint64_t seed);

  MatrixForm form_;
  EncodedMatrix matrix_;
  std::vector<std::byte> codes_, scales_, zeros_;
};

// A small generator of our own: the same numbers on every library.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}
  uint64_t next();
  float uniform() { return static_cast<float>(next() >> 40) * 0x1p-24f; }  // [0, 1)
  float normal();

 private:
  uint64_t state_;
};

}  // namespace sluice::test
