#include "codec/ggml.h"

#include "base/check.h"
#include "codec/ggml_fp4.h"
#include "codec/ggml_iq4.h"
#include "codec/ggml_k.h"
#include "codec/ggml_legacy.h"

namespace sluice::codec {

std::optional<DType> ggml_dtype(Format format) {
  switch (format) {
    case Format::kQ4_0:
      return DType::kQ4_0;
    case Format::kQ4_1:
      return DType::kQ4_1;
    case Format::kQ5_0:
      return DType::kQ5_0;
    case Format::kQ5_1:
      return DType::kQ5_1;
    case Format::kQ8_0:
      return DType::kQ8_0;
    case Format::kQ2_K:
      return DType::kQ2_K;
    case Format::kQ3_K:
      return DType::kQ3_K;
    case Format::kQ4_K:
      return DType::kQ4_K;
    case Format::kQ5_K:
      return DType::kQ5_K;
    case Format::kQ6_K:
      return DType::kQ6_K;
    case Format::kIQ4_NL:
      return DType::kIQ4_NL;
    case Format::kIQ4_XS:
      return DType::kIQ4_XS;
    case Format::kGgmlMxfp4:
      return DType::kGgmlMXFP4;
    case Format::kGgmlNvfp4:
      return DType::kGgmlNVFP4;
    default:
      return std::nullopt;
  }
}

void decode_ggml_blocks(DType type, const std::byte* blocks, int64_t count, float* out) {
  switch (type) {
    case DType::kQ4_0:
      return decode_q4_0(reinterpret_cast<const BlockQ4_0*>(blocks), count, out);
    case DType::kQ4_1:
      return decode_q4_1(reinterpret_cast<const BlockQ4_1*>(blocks), count, out);
    case DType::kQ5_0:
      return decode_q5_0(reinterpret_cast<const BlockQ5_0*>(blocks), count, out);
    case DType::kQ5_1:
      return decode_q5_1(reinterpret_cast<const BlockQ5_1*>(blocks), count, out);
    case DType::kQ8_0:
      return decode_q8_0(reinterpret_cast<const BlockQ8_0*>(blocks), count, out);
    case DType::kQ2_K:
      return decode_q2_k(reinterpret_cast<const BlockQ2_K*>(blocks), count, out);
    case DType::kQ3_K:
      return decode_q3_k(reinterpret_cast<const BlockQ3_K*>(blocks), count, out);
    case DType::kQ4_K:
      return decode_q4_k(reinterpret_cast<const BlockQ4_K*>(blocks), count, out);
    case DType::kQ5_K:
      return decode_q5_k(reinterpret_cast<const BlockQ5_K*>(blocks), count, out);
    case DType::kQ6_K:
      return decode_q6_k(reinterpret_cast<const BlockQ6_K*>(blocks), count, out);
    case DType::kIQ4_NL:
      return decode_iq4_nl(reinterpret_cast<const BlockIQ4_NL*>(blocks), count, out);
    case DType::kIQ4_XS:
      return decode_iq4_xs(reinterpret_cast<const BlockIQ4_XS*>(blocks), count, out);
    case DType::kGgmlMXFP4:
      return decode_ggml_mxfp4(reinterpret_cast<const BlockGgmlMxfp4*>(blocks), count, out);
    case DType::kGgmlNVFP4:
      return decode_ggml_nvfp4(reinterpret_cast<const BlockGgmlNvfp4*>(blocks), count, out);
    default:
      SLUICE_CHECK(false, "{} is not a block type", dtype_name(type));
  }
}

}  // namespace sluice::codec
