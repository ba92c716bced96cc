#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "codec/encode_common.h"
#include "codec/number_formats.h"

namespace sluice::codec {
namespace {

// ModelOpt's cast: ties go to the smaller magnitude, and the sign bit is set unless x > 0.
uint8_t modelopt_e2m1(float quotient, float x) {
  const float a = std::fabs(quotient);
  const int magnitude =
      (a > 0.25f) + (a > 0.75f) + (a > 1.25f) + (a > 1.75f) + (a > 2.5f) + (a > 3.5f) + (a > 5.0f);
  return static_cast<uint8_t>(magnitude | (x > 0 ? 0 : 8));
}

}  // namespace

uint8_t mx_scale_code(float amax, bool four_bits, MxRule rule) {
  if (amax == 0) return 0;
  const int element_exponent = four_bits ? 2 : 8;  // of the largest element, 4 or 256
  int exponent = 0;
  switch (rule) {
    case MxRule::kOcp:
      exponent = std::ilogb(amax) - element_exponent;
      break;
    case MxRule::kCompressedTensors: {
      constexpr uint32_t kQuarterBinade = 1u << 21;
      const uint32_t bits = std::bit_cast<uint32_t>(amax) + kQuarterBinade;
      exponent = static_cast<int>(bits >> 23) - 127 - element_exponent;
      break;
    }
    case MxRule::kModelOpt: {
      const float quotient = amax / (four_bits ? kE2m1Max : kE4m3Max);
      if (quotient == 0) return 0;
      exponent = std::ilogb(quotient);
      if (std::scalbn(1.0f, exponent) < quotient) ++exponent;
      break;
    }
  }
  return static_cast<uint8_t>(std::clamp(exponent + 127, 0, 254));
}

Result<OwnedMatrix> encode_mx(const WeightSource& source, Format format, MxRule rule) {
  SLUICE_TRY(check_source(source));
  SLUICE_CHECK(format == Format::kMxfp4 || format == Format::kMxfp8, "format {}",
               format_name(format));
  const int64_t columns = source.columns;
  if (columns % kMxGroup != 0) {
    return not_encodable(source, fmt::format("{} columns are not a multiple of the block width {}",
                                             columns, kMxGroup));
  }
  const bool four_bits = format == Format::kMxfp4;
  OwnedMatrix owned = make_matrix(source, format, 1, kMxGroup);
  uint8_t* codes =
      four_bits
          ? allocate_plane(owned.codes, owned.matrix.codes, DType::kU8, source.rows, columns / 2)
          : allocate_plane(owned.codes, owned.matrix.codes, DType::kF8E4M3, source.rows, columns);
  uint8_t* scales = allocate_plane(owned.scales, owned.matrix.scales, DType::kU8, source.rows,
                                   columns / kMxGroup);
  const auto nibble = [&](float x, float scale) {
    return rule == MxRule::kModelOpt ? modelopt_e2m1(x / scale, x) : f32_to_e2m1(x / scale);
  };
  for (int64_t g = 0; g < source.rows * (columns / kMxGroup); ++g) {
    const float* x = source.values.data() + g * kMxGroup;
    scales[g] = mx_scale_code(amax_of({x, static_cast<size_t>(kMxGroup)}), four_bits, rule);
    const float scale = e8m0_to_f32(scales[g]);
    for (int64_t j = 0; j < kMxGroup; ++j) {
      if (!four_bits) {
        *codes++ = f32_to_e4m3(x[j] / scale);
      } else if (j % 2 == 0) {
        *codes++ = static_cast<uint8_t>(nibble(x[j], scale) | (nibble(x[j + 1], scale) << 4));
      }
    }
  }
  return owned;
}

}  // namespace sluice::codec
