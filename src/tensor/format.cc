#include "tensor/format.h"

#include <array>

namespace sluice {

std::string_view format_name(Format format) {
  static constexpr std::array<std::string_view, kFormatCount> kNames = {
      "f32",   "f16",      "bf16",     "fp8_block",  "fp8_channel", "fp8_tensor",
      "nvfp4", "nvfp4_a4", "nvfp4_a8", "w4a8_nvfp4", "int4",        "int4_a8",
      "int8",  "mxfp4",    "mxfp8",    "q4_0",       "q4_1",        "q5_0",
      "q5_1",  "q8_0",     "q2_k",     "q3_k",       "q4_k",        "q5_k",
      "q6_k",  "iq4_nl",   "iq4_xs",   "mxfp4",      "nvfp4"};
  return kNames[static_cast<size_t>(format)];
}

bool has_float_codes(Format format) {
  switch (format) {
    case Format::kF32:
    case Format::kF16:
    case Format::kBF16:
    case Format::kFp8Block:
    case Format::kFp8Channel:
    case Format::kFp8Tensor:
    case Format::kMxfp8:
      return true;
    default:
      return false;
  }
}

std::optional<Format> self_contained_format(DType type) {
  switch (type) {
    case DType::kF32:
      return Format::kF32;
    case DType::kF16:
      return Format::kF16;
    case DType::kBF16:
      return Format::kBF16;
    case DType::kQ4_0:
      return Format::kQ4_0;
    case DType::kQ4_1:
      return Format::kQ4_1;
    case DType::kQ5_0:
      return Format::kQ5_0;
    case DType::kQ5_1:
      return Format::kQ5_1;
    case DType::kQ8_0:
      return Format::kQ8_0;
    case DType::kQ2_K:
      return Format::kQ2_K;
    case DType::kQ3_K:
      return Format::kQ3_K;
    case DType::kQ4_K:
      return Format::kQ4_K;
    case DType::kQ5_K:
      return Format::kQ5_K;
    case DType::kQ6_K:
      return Format::kQ6_K;
    case DType::kIQ4_NL:
      return Format::kIQ4_NL;
    case DType::kIQ4_XS:
      return Format::kIQ4_XS;
    case DType::kGgmlMXFP4:
      return Format::kGgmlMxfp4;
    case DType::kGgmlNVFP4:
      return Format::kGgmlNvfp4;
    default:
      return std::nullopt;
  }
}

}  // namespace sluice
