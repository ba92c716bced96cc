#include "encoders/measured_encoders.h"

#include <utility>

#include "codec/encode_common.h"
#include "codec/fp8.h"
#include "codec/number_formats.h"
#include "take.h"
#include "tensor/format.h"
#include "tools/quantize/fp8_search.h"
#include "tools/quantize/nvfp4_search.h"

namespace sluice::benchmarks {
namespace {

using codec::OwnedMatrix;
using codec::WeightSource;
using quantize::ScaleSearch;

std::span<const float> row_of(const WeightSource& source, int64_t row) {
  return source.values.subspan(static_cast<size_t>(row * source.columns),
                               static_cast<size_t>(source.columns));
}

OwnedMatrix encode_nvfp4(const WeightSource& source, std::span<const float> importance,
                         ScaleSearch search) {
  constexpr int64_t kGroup = 16;
  const int64_t rows = source.rows, columns = source.columns;
  OwnedMatrix out = codec::make_matrix(source, Format::kNvfp4, 1, kGroup);
  const float divisor = quantize::power_of_two_divisor(codec::amax_of(source.values), false);
  out.matrix.tensor_scale = {TensorScale::Use::kDivide, divisor};
  uint8_t* codes =
      codec::allocate_plane(out.codes, out.matrix.codes, DType::kU8, rows, columns / 2);
  uint8_t* scales =
      codec::allocate_plane(out.scales, out.matrix.scales, DType::kF8E4M3, rows, columns / kGroup);
  for (int64_t row = 0; row < rows; ++row) {
    quantize::encode_nvfp4_row(row_of(source, row), importance, kGroup, divisor, search,
                               scales + row * (columns / kGroup), codes + row * (columns / 2));
  }
  return out;
}

OwnedMatrix encode_fp8_channel(const WeightSource& source, bool search) {
  OwnedMatrix out = codec::make_matrix(source, Format::kFp8Channel, 1, source.columns);
  uint8_t* codes = codec::allocate_plane(out.codes, out.matrix.codes, DType::kF8E4M3, source.rows,
                                         source.columns);
  uint8_t* scales =
      codec::allocate_plane(out.scales, out.matrix.scales, DType::kBF16, source.rows, 1);
  for (int64_t row = 0; row < source.rows; ++row) {
    const auto values = row_of(source, row);
    const float scale = search ? quantize::best_fp8_scale(values, DType::kBF16)
                               : quantize::plain_fp8_scale(codec::amax_of(values), DType::kBF16);
    codec::store_scale(scales, DType::kBF16, row, scale);
    quantize::encode_fp8_values(values, scale, codes + row * source.columns);
  }
  return out;
}

OwnedMatrix encode_fp8_block(const WeightSource& source) {
  return take(codec::encode_fp8(source, {.format = Format::kFp8Block}));
}

}  // namespace

std::vector<MeasuredEncoder> measured_encoders() {
  std::vector<MeasuredEncoder> all;
  const auto add_nvfp4 = [&](const char* name, bool weighted, ScaleSearch search) {
    all.push_back({name, weighted, [search](const WeightSource& source, auto importance) {
                     return encode_nvfp4(source, importance, search);
                   }});
  };
  add_nvfp4("nvfp4_none", false, ScaleSearch::kNone);
  add_nvfp4("nvfp4_four_over_six", false, ScaleSearch::kFourOverSix);
  add_nvfp4("nvfp4_sweep", false, ScaleSearch::kSweep);
  add_nvfp4("nvfp4_sweep_weighted", true, ScaleSearch::kSweep);
  all.push_back({"fp8_block", false,
                 [](const WeightSource& source, auto) { return encode_fp8_block(source); }});
  all.push_back({"fp8_channel_none", false, [](const WeightSource& source, auto) {
                   return encode_fp8_channel(source, false);
                 }});
  all.push_back({"fp8_channel", false, [](const WeightSource& source, auto) {
                   return encode_fp8_channel(source, true);
                 }});
  for (const Format format : {Format::kQ8_0, Format::kQ6_K, Format::kQ5_K, Format::kQ4_K,
                              Format::kQ3_K, Format::kQ2_K, Format::kQ5_1, Format::kQ5_0,
                              Format::kQ4_1, Format::kQ4_0, Format::kIQ4_NL, Format::kIQ4_XS}) {
    for (const bool weighted : {false, true}) {
      if (weighted && format == Format::kQ8_0) continue;  // has no use for it
      const std::string name = std::string(format_name(format)) + (weighted ? "_weighted" : "");
      all.push_back({name, weighted, [format](const WeightSource& source, auto importance) {
                       return take(codec::encode_ggml(source, format, importance));
                     }});
    }
  }
  return all;
}

}  // namespace sluice::benchmarks
