#include "codec/scales.h"

#include "base/check.h"
#include "codec/bytes.h"

namespace sluice::codec {

float scale_at(const Plane& plane, int64_t index) {
  const std::byte* bytes = plane.bytes.data();
  switch (plane.dtype) {
    case DType::kBF16:
      return bf16_to_f32(load_u16(bytes + 2 * index));
    case DType::kF16:
      return load_f16(bytes + 2 * index);
    case DType::kF32:
      return load_f32(bytes + 4 * index);
    case DType::kF8E4M3:
      return kE4m3Values[static_cast<uint8_t>(bytes[index])];
    case DType::kF8E8M0:
    case DType::kU8:
      return e8m0_to_f32(static_cast<uint8_t>(bytes[index]));
    default:
      SLUICE_CHECK(false, "scales of dtype {}", dtype_name(plane.dtype));
  }
  return 0;
}

bool is_scale_dtype(DType dtype) {
  switch (dtype) {
    case DType::kBF16:
    case DType::kF16:
    case DType::kF32:
    case DType::kF8E4M3:
    case DType::kF8E8M0:
    case DType::kU8:
      return true;
    default:
      return false;
  }
}

}  // namespace sluice::codec
