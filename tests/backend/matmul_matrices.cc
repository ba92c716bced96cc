#include "backend/matmul_matrices.h"

#include <cmath>
#include <cstring>

#include "base/check.h"
#include "codec/bytes.h"
#include "codec/codec.h"
#include "codec/ggml.h"
#include "codec/integer.h"
#include "tensor/dtype.h"

namespace sluice::test {
namespace {

using codec::store_u16;
using Use = TensorScale::Use;

MatrixForm plain(std::string name, Format format) {
  MatrixForm form;
  form.name = std::move(name);
  form.format = format;
  return form;
}

MatrixForm with_scales(MatrixForm form, int64_t block_columns, DType dtype,
                       Use tensor_scale = Use::kNone) {
  form.block_columns = block_columns;
  form.scale_dtype = dtype;
  form.tensor_scale = tensor_scale;
  if (block_columns > 0 && form.format != Format::kFp8Block) form.column_step = block_columns;
  return form;
}

MatrixForm integers(std::string name, Format format, int bits, bool packed, int64_t group,
                    DType dtype, bool zero_points = false) {
  MatrixForm form = with_scales(plain(std::move(name), format), group, dtype);
  form.bits = bits;
  form.packed = packed;
  form.zero_points = zero_points;
  return form;
}

MatrixForm ggml(Format format, int64_t step) {
  MatrixForm form = plain(std::string(format_name(format)), format);
  if (format == Format::kGgmlMxfp4 || format == Format::kGgmlNvfp4) form.name = "ggml_" + form.name;
  form.column_step = step;
  return form;
}

std::vector<MatrixForm> make_forms() {
  std::vector<MatrixForm> forms = {
      plain("f32", Format::kF32),
      plain("f16", Format::kF16),
      plain("bf16", Format::kBF16),
      with_scales(plain("fp8_block_bf16", Format::kFp8Block), 128, DType::kBF16),
      with_scales(plain("fp8_block_f32", Format::kFp8Block), 128, DType::kF32),
      with_scales(plain("fp8_channel", Format::kFp8Channel), 0, DType::kBF16),
      with_scales(plain("fp8_tensor", Format::kFp8Tensor), 0, DType::kF32),
      with_scales(plain("nvfp4_divisor", Format::kNvfp4), 16, DType::kF8E4M3, Use::kDivide),
      with_scales(plain("nvfp4_a4", Format::kNvfp4A4), 16, DType::kF8E4M3, Use::kMultiply),
      with_scales(plain("nvfp4_a8", Format::kNvfp4A8), 16, DType::kF8E4M3, Use::kDivide),
      with_scales(plain("w4a8_32", Format::kW4A8Nvfp4), 32, DType::kF8E4M3, Use::kMultiply),
      with_scales(plain("mxfp4", Format::kMxfp4), 32, DType::kU8),
      with_scales(plain("mxfp8", Format::kMxfp8), 32, DType::kU8),
      integers("int4_g128", Format::kInt4, 4, true, 128, DType::kBF16),
      integers("int4_g32_zero", Format::kInt4, 4, true, 32, DType::kF16, true),
      integers("int4_g96", Format::kInt4, 4, true, 96, DType::kF32),
      integers("int4_g16_zero", Format::kInt4, 4, true, 16, DType::kBF16, true),
      integers("int4_g512", Format::kInt4, 4, true, 512, DType::kBF16),
      integers("int4_g24", Format::kInt4, 4, true, 24, DType::kBF16),
      integers("int4_channel_zero", Format::kInt4, 4, true, 0, DType::kBF16, true),
      integers("int4_a8_channel", Format::kInt4A8, 4, false, 0, DType::kBF16),
      integers("int3_g64", Format::kInt4, 3, true, 64, DType::kBF16),
      integers("int6_g64", Format::kInt4, 6, true, 64, DType::kBF16),
      integers("int8_channel", Format::kInt8, 8, false, 0, DType::kBF16),
      integers("int8_g128", Format::kInt8, 8, true, 128, DType::kF32, true),
  };
  forms.push_back(integers("int8_tensor", Format::kInt8, 8, false, 0, DType::kF32));
  forms.back().per_tensor = true;
  for (const Format format : {Format::kQ4_0, Format::kQ4_1, Format::kQ5_0, Format::kQ5_1,
                              Format::kQ8_0, Format::kIQ4_NL, Format::kGgmlMxfp4}) {
    forms.push_back(ggml(format, 32));
  }
  forms.push_back(ggml(Format::kGgmlNvfp4, 64));
  forms.back().tensor_scale = Use::kMultiply;
  for (const Format format : {Format::kQ2_K, Format::kQ3_K, Format::kQ4_K, Format::kQ5_K,
                              Format::kQ6_K, Format::kIQ4_XS}) {
    forms.push_back(ggml(format, 256));
  }
  return forms;
}

void fill_random(std::vector<std::byte>& bytes, uint64_t seed) {
  Random random(seed);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next() >> 32);
}

// Where the F16 numbers of a ggml block are, and about how large the weight is per unit of the
// first.
struct BlockNumbers {
  std::vector<size_t> halves;
  float levels = 1;
};

BlockNumbers numbers_of(Format format) {
  switch (format) {
    case Format::kQ4_0:
      return {{0}, 8};
    case Format::kQ4_1:
      return {{0, 2}, 8};
    case Format::kQ5_0:
      return {{0}, 16};
    case Format::kQ5_1:
      return {{0, 2}, 16};
    case Format::kQ8_0:
      return {{0}, 127};
    case Format::kIQ4_NL:
      return {{0}, 127};
    case Format::kQ2_K:
      return {{80, 82}, 3 * 15};
    case Format::kQ3_K:
      return {{108}, 4 * 32};
    case Format::kQ4_K:
    case Format::kQ5_K:
      return {{0, 2}, 15 * 63};
    case Format::kQ6_K:
      return {{208}, 32 * 127};
    case Format::kIQ4_XS:
      return {{0}, 127 * 32};
    default:
      return {};
  }
}

// Rows whose scales are of all sizes: the second group of 16. Those of others lie as near to each
// other as in files.
bool has_wild_scales(int64_t row) { return row / 16 == 1; }

uint8_t random_e4m3_scale(Random& random, int64_t row) {
  if (has_wild_scales(row)) return static_cast<uint8_t>(random.next() % 0x7f);
  return random.next() % 64 == 0 ? uint8_t{0} : static_cast<uint8_t>(0x48 + random.next() % 0x37);
}

uint8_t random_e8m0_scale(Random& random, int64_t row) {
  return static_cast<uint8_t>(has_wild_scales(row) ? 108 + random.next() % 17
                                                   : 121 + random.next() % 4);
}

}  // namespace

uint64_t Random::next() {
  uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

float Random::normal() {
  const float a = std::max(uniform(), 0x1p-24f), b = uniform();
  return std::sqrt(-2.0f * std::log(a)) * std::cos(6.2831853f * b);
}

const std::vector<MatrixForm>& all_forms() {
  static const std::vector<MatrixForm> forms = make_forms();
  return forms;
}

RandomMatrix::RandomMatrix(const MatrixForm& form, int64_t rows, int64_t columns, uint64_t seed)
    : form_(form) {
  SLUICE_CHECK(columns % form.column_step == 0, "{} columns for {}", columns, form.name);
  matrix_.format = form.format;
  matrix_.rows = rows;
  matrix_.columns = columns;
  switch (form.format) {
    case Format::kF32:
    case Format::kF16:
    case Format::kBF16: {
      const size_t width = form.format == Format::kF32 ? 4 : 2;
      codes_.resize(static_cast<size_t>(rows * columns) * width);
      Random random(seed);
      for (size_t i = 0; i < codes_.size(); i += width) {
        const float value = 0.1f * random.normal();
        if (width == 4) codec::store_f32(&codes_[i], value);
        if (form.format == Format::kF16) store_u16(&codes_[i], codec::f32_to_f16(value));
        if (form.format == Format::kBF16) store_u16(&codes_[i], codec::f32_to_bf16(value));
      }
      matrix_.codes.dtype = width == 4                    ? DType::kF32
                            : form.format == Format::kF16 ? DType::kF16
                                                          : DType::kBF16;
      matrix_.codes.rows = rows;
      matrix_.codes.columns = columns;
      break;
    }
    case Format::kFp8Block:
    case Format::kFp8Channel:
    case Format::kFp8Tensor:
    case Format::kMxfp8:
      fill_fp8(seed);
      break;
    case Format::kNvfp4:
    case Format::kNvfp4A4:
    case Format::kNvfp4A8:
    case Format::kW4A8Nvfp4:
    case Format::kMxfp4:
      fill_fp4(seed);
      break;
    case Format::kInt4:
    case Format::kInt4A8:
    case Format::kInt8:
      fill_integers(seed);
      break;
    default:
      fill_ggml(seed);
  }
  if (form.tensor_scale != Use::kNone) {
    matrix_.tensor_scale = {form.tensor_scale,
                            form.tensor_scale == Use::kDivide ? 840.0f : 1 / 840.0f};
  }
  matrix_.codes.bytes = codes_;
  matrix_.scales.bytes = scales_;
  matrix_.zero_points.bytes = zeros_;
}

// Float scales near 1/448 for FP8 and 1/80 for integers, E4M3 from 2 to 416, E8M0 near 2^-4, but
// for wild ones.
void RandomMatrix::fill_scales(int64_t rows, int64_t columns, uint64_t seed) {
  const DType dtype = form_.scale_dtype;
  matrix_.scales.dtype = dtype;
  matrix_.scales.rows = rows;
  matrix_.scales.columns = columns;
  const auto width = static_cast<size_t>(dtype_info(dtype).block_bytes);
  scales_.resize(static_cast<size_t>(rows * columns) * width);
  Random random(seed ^ 0x5ca1e);
  for (size_t i = 0; i < scales_.size(); i += width) {
    const int64_t row = static_cast<int64_t>(i / width) / columns;
    const int smaller =
        form_.bits > 0 && has_wild_scales(row) ? static_cast<int>(random.next() % 12) : 0;
    const float value = (0.5f + random.uniform()) /
                        (form_.bits == 0 ? 448.0f : std::ldexp(5.0f, form_.bits + smaller));
    switch (dtype) {
      case DType::kF32:
        codec::store_f32(&scales_[i], value);
        break;
      case DType::kF16:
        store_u16(&scales_[i], codec::f32_to_f16(value));
        break;
      case DType::kBF16:
        store_u16(&scales_[i], codec::f32_to_bf16(value));
        break;
      case DType::kF8E4M3:
        scales_[i] = std::byte{random_e4m3_scale(random, row)};
        break;
      default:
        scales_[i] = static_cast<std::byte>(random_e8m0_scale(random, row) -
                                            (form_.format == Format::kMxfp8 ? 8 : 0));
    }
  }
}

void RandomMatrix::fill_fp8(uint64_t seed) {
  const int64_t rows = matrix_.rows, columns = matrix_.columns;
  codes_.resize(static_cast<size_t>(rows * columns));
  fill_random(codes_, seed);
  for (std::byte& code : codes_) {
    if (codec::e4m3_is_nan(static_cast<uint8_t>(code))) code = std::byte{0x80};
  }
  matrix_.codes = {{}, DType::kF8E4M3, rows, columns};
  const bool tiled = form_.format == Format::kFp8Block, tensor = form_.format == Format::kFp8Tensor;
  matrix_.block_rows = tiled ? 128 : tensor ? rows : 1;
  matrix_.block_columns = form_.block_columns > 0 ? form_.block_columns : columns;
  fill_scales((rows + matrix_.block_rows - 1) / matrix_.block_rows,
              (columns + matrix_.block_columns - 1) / matrix_.block_columns, seed);
}

void RandomMatrix::fill_fp4(uint64_t seed) {
  codes_.resize(static_cast<size_t>(matrix_.rows * matrix_.columns / 2));
  fill_random(codes_, seed);
  matrix_.codes = {{}, DType::kU8, matrix_.rows, matrix_.columns / 2};
  matrix_.block_rows = 1;
  matrix_.block_columns = form_.block_columns;
  fill_scales(matrix_.rows, matrix_.columns / form_.block_columns, seed);
}

void RandomMatrix::fill_integers(uint64_t seed) {
  const int64_t rows = matrix_.rows, columns = matrix_.columns;
  const int bits = form_.bits, half = 1 << (bits - 1);
  matrix_.bits = bits;
  matrix_.packed = form_.packed;
  matrix_.block_columns = form_.block_columns > 0 ? form_.block_columns : columns;
  matrix_.block_rows = form_.per_tensor ? rows : 1;
  const int64_t words = codec::packed_words(columns, bits);
  codes_.resize(static_cast<size_t>(rows * (form_.packed ? 4 * words : columns)));
  Random random(seed);
  std::vector<int8_t> row(static_cast<size_t>(columns));
  for (int64_t r = 0; r < rows; ++r) {
    for (int8_t& code : row) {
      code = static_cast<int8_t>(static_cast<int>(random.next() >> 33) % half -
                                 (random.next() >> 63 ? half : 0));
    }
    auto* bytes = reinterpret_cast<uint8_t*>(codes_.data());
    if (form_.packed) {
      codec::pack_integer_row(row.data(), columns, bits, bytes + r * 4 * words);
    } else {
      std::memcpy(bytes + r * columns, row.data(), row.size());
    }
  }
  matrix_.codes =
      form_.packed ? Plane{{}, DType::kI32, rows, words} : Plane{{}, DType::kI8, rows, columns};
  const int64_t groups = columns / matrix_.block_columns;
  fill_scales(form_.per_tensor ? 1 : rows, groups, seed);
  if (!form_.zero_points) return;
  const int64_t zero_words = codec::packed_words(rows, bits);
  zeros_.resize(static_cast<size_t>(4 * zero_words * groups));
  fill_random(zeros_, seed + 1);
  matrix_.zero_points = {{}, DType::kI32, zero_words, groups};
}

void RandomMatrix::fill_ggml(uint64_t seed) {
  const DType dtype = codec::ggml_dtype(form_.format).value();
  const DTypeInfo& info = dtype_info(dtype);
  const int64_t blocks = matrix_.rows * matrix_.columns / info.block_elements;
  codes_.resize(static_cast<size_t>(blocks * info.block_bytes));
  fill_random(codes_, seed);
  matrix_.codes = {{}, dtype, matrix_.rows, matrix_.columns};
  Random random(seed ^ 0xb10c);
  const BlockNumbers numbers = numbers_of(form_.format);
  for (int64_t b = 0; b < blocks; ++b) {
    std::byte* block = codes_.data() + b * info.block_bytes;
    for (const size_t at : numbers.halves) {
      // Some scales are negative, some subnormal halves: both occur in files.
      float value = 0.3f * (random.uniform() - 0.2f) / numbers.levels;
      if (at != numbers.halves.front()) value = random.uniform() * 0.002f;
      store_u16(block + at, codec::f32_to_f16(value));
    }
    const int64_t row = b * info.block_elements / matrix_.columns;
    if (form_.format == Format::kGgmlMxfp4) block[0] = std::byte{random_e8m0_scale(random, row)};
    if (form_.format == Format::kGgmlNvfp4) {
      for (int s = 0; s < 4; ++s) block[s] = std::byte{random_e4m3_scale(random, row)};
    }
  }
}

EncodedMatrix RandomMatrix::first_rows(int64_t rows) const {
  EncodedMatrix part = matrix_;
  part.rows = rows;
  part.codes.rows = rows;
  if (matrix_.block_rows == matrix_.rows && form_.per_tensor) part.block_rows = rows;
  if (part.scales.rows == matrix_.rows) part.scales.rows = rows;
  return part;
}

std::vector<float> RandomMatrix::decoded() const {
  std::vector<float> values(static_cast<size_t>(matrix_.rows * matrix_.columns));
  codec::decode_rows(matrix_, 0, matrix_.rows, values.data());
  return values;
}

}  // namespace sluice::test
