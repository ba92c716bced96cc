#include "codec/ggml_encode.h"

#include "base/check.h"

namespace sluice::codec {

void encode_ggml_row(DType type, std::span<const float> row, std::span<const float> importance,
                     std::byte* out) {
  switch (type) {
    case DType::kQ4_0:
      return encode_row(row, importance, reinterpret_cast<BlockQ4_0*>(out));
    case DType::kQ4_1:
      return encode_row(row, importance, reinterpret_cast<BlockQ4_1*>(out));
    case DType::kQ5_0:
      return encode_row(row, importance, reinterpret_cast<BlockQ5_0*>(out));
    case DType::kQ5_1:
      return encode_row(row, importance, reinterpret_cast<BlockQ5_1*>(out));
    case DType::kQ8_0:
      return encode_row(row, importance, reinterpret_cast<BlockQ8_0*>(out));
    case DType::kQ2_K:
      return encode_row(row, importance, reinterpret_cast<BlockQ2_K*>(out));
    case DType::kQ3_K:
      return encode_row(row, importance, reinterpret_cast<BlockQ3_K*>(out));
    case DType::kQ4_K:
      return encode_row(row, importance, reinterpret_cast<BlockQ4_K*>(out));
    case DType::kQ5_K:
      return encode_row(row, importance, reinterpret_cast<BlockQ5_K*>(out));
    case DType::kQ6_K:
      return encode_row(row, importance, reinterpret_cast<BlockQ6_K*>(out));
    case DType::kIQ4_NL:
      return encode_row(row, importance, reinterpret_cast<BlockIQ4_NL*>(out));
    case DType::kIQ4_XS:
      return encode_row(row, importance, reinterpret_cast<BlockIQ4_XS*>(out));
    case DType::kGgmlMXFP4:
      return encode_row(row, importance, reinterpret_cast<BlockGgmlMxfp4*>(out));
    case DType::kGgmlNVFP4:
      return encode_row(row, importance, reinterpret_cast<BlockGgmlNvfp4*>(out));
    default:
      SLUICE_CHECK(false, "{} is not a block type", dtype_name(type));
  }
}

}  // namespace sluice::codec
