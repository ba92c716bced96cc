#include "codec/golden_matrix.h"

#include <gtest/gtest.h>

#include <map>
#include <stdexcept>

#include "codec/bytes.h"
#include "codec/scales.h"
#include "support/sha256.h"

namespace sluice::codec::test {
namespace {

Plane plane_of(const GoldenTensor& tensor) {
  return {tensor.bytes, tensor.dtype, tensor.rows(), tensor.columns()};
}

TensorScale tensor_scale_of(const GoldenTensor& tensor, TensorScale::Use use) {
  return {use, load_f32(tensor.bytes.data())};
}

void set_fp8(EncodedMatrix& m) {
  const int64_t scales = m.scales.rows * m.scales.columns;
  if (m.scales.dtype == DType::kU8) {
    m.format = Format::kMxfp8;
    m.block_rows = 1;
    m.block_columns = 32;
  } else if (scales == 1) {
    m.format = Format::kFp8Tensor;
    m.scales.rows = m.scales.columns = 1;
    m.block_rows = m.rows;
    m.block_columns = m.columns;
  } else if (scales == m.rows) {
    m.format = Format::kFp8Channel;
    m.block_rows = 1;
    m.block_columns = m.columns;
  } else {
    m.format = Format::kFp8Block;
    m.block_rows = m.block_columns = 128;
  }
}

}  // namespace

EncodedMatrix safetensors_matrix(const GoldenFile& file, const std::string& module,
                                 int integer_bits) {
  EncodedMatrix m;
  const GoldenTensor* weight = file.find(module + ".weight");
  const GoldenTensor* packed = file.find(module + ".weight_packed");
  const GoldenTensor* scales = file.find(module + ".weight_scale");
  if (scales == nullptr) scales = file.find(module + ".weight_scale_inv");
  const GoldenTensor& codes = weight != nullptr ? *weight : *packed;
  m.codes = plane_of(codes);
  m.rows = m.codes.rows;
  m.columns = m.codes.columns;
  if (scales == nullptr) {
    m.format = codes.dtype == DType::kBF16  ? Format::kBF16
               : codes.dtype == DType::kF16 ? Format::kF16
                                            : Format::kF32;
    return m;
  }
  m.scales = plane_of(*scales);
  m.block_rows = 1;
  switch (codes.dtype) {
    case DType::kF8E4M3:
      set_fp8(m);
      break;
    case DType::kU8: {
      m.columns *= 2;
      m.block_columns = m.columns / m.scales.columns;
      const GoldenTensor* divisor = file.find(module + ".weight_global_scale");
      const GoldenTensor* factor = file.find(module + ".weight_scale_2");
      if (divisor != nullptr) m.tensor_scale = tensor_scale_of(*divisor, TensorScale::Use::kDivide);
      if (factor != nullptr) m.tensor_scale = tensor_scale_of(*factor, TensorScale::Use::kMultiply);
      m.format = m.scales.dtype == DType::kU8 ? Format::kMxfp4
                 : m.block_columns == 32      ? Format::kW4A8Nvfp4
                                              : Format::kNvfp4;
      break;
    }
    case DType::kI8:
    case DType::kI32: {
      m.packed = codes.dtype == DType::kI32;
      m.bits = integer_bits;
      if (m.packed) {
        const GoldenTensor& shape = file.at(module + ".weight_shape");
        m.columns = static_cast<int64_t>(load_u32(shape.bytes.data() + 8));
        if (const auto* zeros = file.find(module + ".weight_zero_point"))
          m.zero_points = plane_of(*zeros);
      }
      m.block_columns = m.columns / m.scales.columns;
      m.format = m.bits == 8 ? Format::kInt8 : Format::kInt4;
      break;
    }
    default:
      throw std::runtime_error(module + ": no scheme");
  }
  return m;
}

EncodedMatrix gguf_matrix(const GoldenFile& file, const GoldenTensor& tensor) {
  static const std::map<DType, Format> kFormats = {{DType::kF32, Format::kF32},
                                                   {DType::kF16, Format::kF16},
                                                   {DType::kBF16, Format::kBF16},
                                                   {DType::kQ4_0, Format::kQ4_0},
                                                   {DType::kQ4_1, Format::kQ4_1},
                                                   {DType::kQ5_0, Format::kQ5_0},
                                                   {DType::kQ5_1, Format::kQ5_1},
                                                   {DType::kQ8_0, Format::kQ8_0},
                                                   {DType::kQ2_K, Format::kQ2_K},
                                                   {DType::kQ3_K, Format::kQ3_K},
                                                   {DType::kQ4_K, Format::kQ4_K},
                                                   {DType::kQ5_K, Format::kQ5_K},
                                                   {DType::kQ6_K, Format::kQ6_K},
                                                   {DType::kIQ4_NL, Format::kIQ4_NL},
                                                   {DType::kIQ4_XS, Format::kIQ4_XS},
                                                   {DType::kGgmlMXFP4, Format::kGgmlMxfp4},
                                                   {DType::kGgmlNVFP4, Format::kGgmlNvfp4}};
  EncodedMatrix m;
  m.format = kFormats.at(tensor.dtype);
  m.codes = plane_of(tensor);
  m.rows = m.codes.rows;
  m.columns = m.codes.columns;
  if (m.format == Format::kGgmlNvfp4 && tensor.name.ends_with(".weight")) {
    const std::string name = tensor.name.substr(0, tensor.name.size() - 6) + "scale";
    if (const auto* scale = file.find(name)) {
      m.tensor_scale = {TensorScale::Use::kMultiply, load_f32(scale->bytes.data())};
    }
  }
  return m;
}

std::vector<float> decode_all(const EncodedMatrix& matrix, const std::string& name) {
  for (const Status& status :
       {check_matrix(matrix, name), check_scales(matrix, name), check_codes(matrix, name)}) {
    if (status.ok()) continue;
    ADD_FAILURE() << status.error().message();
    return {};
  }
  std::vector<float> values(static_cast<size_t>(matrix.rows * matrix.columns));
  const int64_t head = matrix.rows / 3;
  decode_rows(matrix, 0, head, values.data());
  decode_rows(matrix, head, matrix.rows - head, values.data() + head * matrix.columns);
  return values;
}

std::string hash_of(std::span<const float> values) {
  return sluice::test::sha256_hex(std::as_bytes(values));
}

std::string hash_with_positive_zeros(std::vector<float> values) {
  for (float& value : values) value += 0.0f;  // -0 + 0 is +0, everything else stays
  return hash_of(values);
}

}  // namespace sluice::codec::test
