#include <fmt/format.h>

#include <cmath>

#include "base/check.h"
#include "codec/bytes.h"
#include "codec/encode_common.h"

namespace sluice::codec {

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
      uint8_t* out = plane(DType::kF16);
      for (size_t i = 0; i < values.size(); ++i) {
        const uint16_t half = f32_to_f16(values[i]);
        if ((half & 0x7FFFu) == 0x7C00u)
          return not_encodable(source, fmt::format("{} exceeds F16", values[i]));
        store_u16(out + 2 * i, half);
      }
      break;
    }
    default:
      SLUICE_CHECK(false, "format {}", format_name(format));
  }
  return owned;
}

}  // namespace sluice::codec
