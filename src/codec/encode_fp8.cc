#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "codec/encode_common.h"
#include "codec/fp8.h"
#include "codec/number_formats.h"

namespace sluice::codec {
namespace {

constexpr float kBf16Epsilon = 0x1p-7f, kF32Epsilon = 0x1p-23f;

// Scale of one block, and how its weights become quotients on the E4M3 grid.
struct Fp8Block {
  float scale = 1;   // as stored
  float factor = 1;  // kTransformers multiplies by this; the others divide by the divisor
  float divisor = 1;
  bool multiply = false;
  bool round_quotient = false;  // to BF16, before E4M3

  uint8_t encode(float x) const {
    const float quotient = multiply ? x * factor : x / divisor;
    return f32_to_e4m3(round_quotient ? round_to_bf16(quotient) : quotient);
  }
};

DType scale_dtype_of(const WeightSource& source, const Fp8Options& options) {
  switch (options.rule) {
    case Fp8Rule::kCompressedTensors:
      return source.type == SourceType::kBf16 ? DType::kBF16 : DType::kF32;
    case Fp8Rule::kModelOpt:
      return DType::kF32;
    default:
      return options.scale_dtype;
  }
}

Fp8Block plan_block(float amax, const WeightSource& source, const Fp8Options& options) {
  const DType dtype = scale_dtype_of(source, options);
  const bool bf16_source = source.type == SourceType::kBf16;
  Fp8Block block;
  switch (options.rule) {
    case Fp8Rule::kStored: {
      const float epsilon = dtype == DType::kBF16 ? kBf16Epsilon : kF32Epsilon;
      const float zero_scale = options.format == Format::kFp8Channel ? epsilon : 1.0f;
      // Smaller scales would lose their own precision.
      const float scale = std::max(amax / kE4m3Max, std::numeric_limits<float>::min());
      block.scale = amax == 0 ? zero_scale : round_to(dtype, scale);
      block.divisor = block.scale;
      break;
    }
    case Fp8Rule::kTransformers:
      block.multiply = true;
      block.factor = amax == 0 ? 1.0f : kE4m3Max / amax;
      block.scale = round_to(dtype, 1.0f / block.factor);
      break;
    case Fp8Rule::kCompressedTensors:
      block.scale = round_to(dtype, amax / kE4m3Max);
      if (block.scale == 0) block.scale = bf16_source ? kBf16Epsilon : kF32Epsilon;
      block.divisor = block.scale;
      block.round_quotient = bf16_source;
      break;
    case Fp8Rule::kModelOpt:
      block.scale = amax == 0 ? 1.0f : amax / kE4m3Max;
      block.divisor = block.scale;
      // A scalar scale does not promote a BF16 tensor to F32, a vector does.
      block.round_quotient = bf16_source && options.format == Format::kFp8Tensor;
      break;
  }
  return block;
}

}  // namespace

Result<OwnedMatrix> encode_fp8(const WeightSource& source, const Fp8Options& options) {
  SLUICE_TRY(check_source(source));
  SLUICE_CHECK(options.scale_dtype == DType::kBF16 || options.scale_dtype == DType::kF32,
               "scales of dtype {}", dtype_name(options.scale_dtype));
  SLUICE_CHECK(options.rule != Fp8Rule::kTransformers || options.format == Format::kFp8Block,
               "format {}", format_name(options.format));
  const int64_t rows = source.rows, columns = source.columns;
  const bool tiled = options.format == Format::kFp8Block,
             channel = options.format == Format::kFp8Channel;
  SLUICE_CHECK(tiled || channel || options.format == Format::kFp8Tensor, "format {}",
               format_name(options.format));
  const int64_t height = tiled ? kFp8Tile : channel ? 1 : rows, width = tiled ? kFp8Tile : columns;
  OwnedMatrix owned = make_matrix(source, options.format, height, width);
  const int64_t scale_rows = (rows + height - 1) / height,
                scale_columns = (columns + width - 1) / width;
  const DType dtype = scale_dtype_of(source, options);
  uint8_t* codes = allocate_plane(owned.codes, owned.matrix.codes, DType::kF8E4M3, rows, columns);
  uint8_t* scales =
      allocate_plane(owned.scales, owned.matrix.scales, dtype, scale_rows, scale_columns);

  for (int64_t i = 0; i < scale_rows; ++i) {
    for (int64_t j = 0; j < scale_columns; ++j) {
      const int64_t row_end = std::min(rows, (i + 1) * height);
      const int64_t begin = j * width, count = std::min(width, columns - begin);
      float amax = 0;
      for (int64_t row = i * height; row < row_end; ++row) {
        amax =
            std::max(amax, amax_of(source.values.subspan(static_cast<size_t>(row * columns + begin),
                                                         static_cast<size_t>(count))));
      }
      if (!tiled && !channel) amax = options.amax.value_or(amax);
      const Fp8Block block = plan_block(amax, source, options);
      store_scale(scales, dtype, i * scale_columns + j, block.scale);
      for (int64_t row = i * height; row < row_end; ++row) {
        const float* x = source.values.data() + row * columns + begin;
        for (int64_t k = 0; k < count; ++k) codes[row * columns + begin + k] = block.encode(x[k]);
      }
    }
  }
  return owned;
}

}  // namespace sluice::codec
