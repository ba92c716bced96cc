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

}  // namespace sluice
