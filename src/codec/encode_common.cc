#include "codec/encode_common.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "codec/bytes.h"

namespace sluice::codec {

float amax_of(std::span<const float> values) {
  float amax = 0;
  for (const float value : values) amax = std::max(amax, std::fabs(value));
  return amax;
}

Error not_encodable(const WeightSource& source, std::string why) {
  return bad_input(source.name, std::move(why),
                   "Choose another format for this tensor, or keep it as it is");
}

Status check_source(const WeightSource& source) {
  SLUICE_CHECK(source.rows > 0 && source.columns > 0 &&
                   source.values.size() ==
                       static_cast<size_t>(source.rows) * static_cast<size_t>(source.columns),
               "{} values for {} x {}", source.values.size(), source.rows, source.columns);
  const auto bad = std::find_if(source.values.begin(), source.values.end(),
                                [](float v) { return !std::isfinite(v); });
  if (bad == source.values.end()) return {};
  const int64_t at = bad - source.values.begin();
  return bad_input(
      source.name,
      fmt::format("value [{}, {}] is {}", at / source.columns, at % source.columns, *bad),
      "Only finite weights can be quantized: check the source checkpoint");
}

OwnedMatrix make_matrix(const WeightSource& source, Format format, int64_t block_rows,
                        int64_t block_columns) {
  OwnedMatrix owned;
  owned.matrix.format = format;
  owned.matrix.rows = source.rows;
  owned.matrix.columns = source.columns;
  owned.matrix.block_rows = block_rows;
  owned.matrix.block_columns = block_columns;
  return owned;
}

uint8_t* allocate_plane(std::vector<std::byte>& bytes, Plane& plane, DType dtype, int64_t rows,
                        int64_t columns) {
  bytes.assign(dtype_bytes(dtype, static_cast<uint64_t>(rows * columns)).value(), std::byte{0});
  plane = {bytes, dtype, rows, columns};
  return reinterpret_cast<uint8_t*>(bytes.data());
}

void store_scale(uint8_t* bytes, DType dtype, int64_t index, float value) {
  if (dtype == DType::kBF16) {
    store_u16(bytes + 2 * index, f32_to_bf16(value));
  } else {
    store_f32(bytes + 4 * index, value);
  }
}

float round_to(DType dtype, float value) {
  return dtype == DType::kBF16 ? round_to_bf16(value) : value;
}

}  // namespace sluice::codec
