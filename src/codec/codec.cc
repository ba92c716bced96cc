#include "codec/codec.h"

#include "base/check.h"
#include "codec/float_rows.h"
#include "codec/fp8.h"
#include "codec/ggml.h"
#include "codec/integer.h"
#include "codec/mx.h"
#include "codec/number_formats.h"
#include "codec/nvfp4.h"

namespace sluice::codec {
namespace {

void decode_ggml_rows(const EncodedMatrix& matrix, DType type, int64_t first, int64_t count,
                      float* out) {
  const DTypeInfo& info = dtype_info(type);
  const int64_t blocks = matrix.columns / info.block_elements;
  decode_ggml_blocks(type, matrix.codes.bytes.data() + first * blocks * info.block_bytes,
                     count * blocks, out);
  if (matrix.tensor_scale.use == TensorScale::Use::kMultiply) {
    for (int64_t i = 0; i < count * matrix.columns; ++i) out[i] *= matrix.tensor_scale.value;
  }
}

}  // namespace

void decode_rows(const EncodedMatrix& matrix, int64_t first, int64_t count, float* out,
                 NanCodes nan) {
  SLUICE_CHECK(first >= 0 && count >= 0 && first <= matrix.rows - count, "rows {} + {} of {}",
               first, count, matrix.rows);
  const auto& e4m3 = nan == NanCodes::kZero ? kE4m3ValuesNanAsZero : kE4m3Values;
  switch (matrix.format) {
    case Format::kF32:
    case Format::kF16:
    case Format::kBF16:
      return decode_float_rows(matrix, first, count, out);
    case Format::kFp8Block:
    case Format::kFp8Channel:
    case Format::kFp8Tensor:
      return decode_fp8_rows(matrix, first, count, e4m3, out);
    case Format::kNvfp4:
    case Format::kNvfp4A4:
    case Format::kNvfp4A8:
    case Format::kW4A8Nvfp4:
      return decode_nvfp4_rows(matrix, first, count, out);
    case Format::kInt4:
    case Format::kInt4A8:
    case Format::kInt8:
      return decode_integer_rows(matrix, first, count, out);
    case Format::kMxfp4:
      return decode_mxfp4_rows(matrix, first, count, out);
    case Format::kMxfp8:
      return decode_mxfp8_rows(matrix, first, count, e4m3, out);
    default:
      return decode_ggml_rows(matrix, ggml_dtype(matrix.format).value(), first, count, out);
  }
}

}  // namespace sluice::codec
