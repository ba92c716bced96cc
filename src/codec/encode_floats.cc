#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "codec/bytes.h"
#include "codec/encode_common.h"

namespace sluice::codec {
namespace {

constexpr float kF16Overflow = 65520;  // rounds to infinity, and all above it

// f32_to_f16 of what does not overflow. Masks instead of choices: compilers make vectors of it.
uint16_t f16_of(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value), magnitude = bits & 0x7FFFFFFFu;
  // 0.5 has an ulp of 2^-24, the step of F16 subnormals: the addition does the rounding.
  const uint32_t subnormal =
      std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3F000000u;
  const uint32_t normal = (magnitude + 0xFFFu + ((magnitude >> 13) & 1u) - (112u << 23)) >> 13;
  const uint32_t small = -static_cast<uint32_t>(magnitude < 0x38800000u);  // 2^-14
  return static_cast<uint16_t>(((bits >> 16) & 0x8000u) | (subnormal & small) | (normal & ~small));
}

}  // namespace

Result<OwnedMatrix> encode_floats(const WeightSource& source, Format format) {
  SLUICE_TRY(check_source(source));
  OwnedMatrix owned = make_matrix(source, format, 0, 0);
  const auto plane = [&](DType dtype) {
    return allocate_plane(owned.codes, owned.matrix.codes, dtype, source.rows, source.columns);
  };
  const std::span<const float> values = source.values;
  switch (format) {
    case Format::kF32: {
      uint8_t* out = plane(DType::kF32);
      std::memcpy(out, values.data(), values.size_bytes());
      break;
    }
    case Format::kBF16: {
      uint8_t* out = plane(DType::kBF16);
      for (size_t i = 0; i < values.size(); ++i) store_u16(out + 2 * i, f32_to_bf16(values[i]));
      break;
    }
    case Format::kF16: {
      if (amax_of(values) >= kF16Overflow) {
        const auto beyond = std::find_if(values.begin(), values.end(),
                                         [](float v) { return std::fabs(v) >= kF16Overflow; });
        return not_encodable(source, fmt::format("{} exceeds F16", *beyond));
      }
      uint8_t* out = plane(DType::kF16);
      for (size_t i = 0; i < values.size(); ++i) store_u16(out + 2 * i, f16_of(values[i]));
      break;
    }
    default:
      SLUICE_CHECK(false, "format {}", format_name(format));
  }
  return owned;
}

}  // namespace sluice::codec
