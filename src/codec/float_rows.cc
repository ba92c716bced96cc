#include "codec/float_rows.h"

#include "base/check.h"
#include "codec/bytes.h"

namespace sluice::codec {

void decode_float_rows(const EncodedMatrix& matrix, int64_t first, int64_t count, float* out) {
  const int64_t begin = first * matrix.columns, elements = count * matrix.columns;
  const std::byte* bytes = matrix.codes.bytes.data();
  switch (matrix.format) {
    case Format::kF32:
      std::memcpy(out, bytes + 4 * begin, static_cast<size_t>(elements) * 4);
      return;
    case Format::kF16:
      for (int64_t i = 0; i < elements; ++i) out[i] = load_f16(bytes + 2 * (begin + i));
      return;
    case Format::kBF16:
      for (int64_t i = 0; i < elements; ++i)
        out[i] = bf16_to_f32(load_u16(bytes + 2 * (begin + i)));
      return;
    default:
      SLUICE_CHECK(false, "format {}", format_name(matrix.format));
  }
}

}  // namespace sluice::codec
