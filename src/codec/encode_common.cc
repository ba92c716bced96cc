#include "codec/encode_common.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "codec/bytes.h"
#include "codec/lanes.h"

namespace sluice::codec {

float amax_of(std::span<const float> values) {
  constexpr size_t kMaxima = 4, kStride = kMaxima * kLanes;
  std::array<Lanes, kMaxima> maxima{};
  size_t at = 0;
  for (; at + kStride <= values.size(); at += kStride) {
    for (size_t i = 0; i < kMaxima; ++i) {
      const Lanes value = magnitudes(load_lanes(&values[at + i * kLanes]));
      maxima[i] = value > maxima[i] ? value : maxima[i];
    }
  }
  float amax = 0;
  for (const float value : values.subspan(at)) amax = std::max(amax, std::fabs(value));
  for (const Lanes& part : maxima) {
    for (size_t lane = 0; lane < kLanes; ++lane) amax = std::max(amax, part[lane]);
  }
  return amax;
}

size_t first_not_finite(std::span<const float> values) {
  // Of a finite number nothing is left, of the others NaN. Page by page: the place is looked for
  // where one is known to be.
  constexpr size_t kPage = 1024;
  for (size_t begin = 0; begin < values.size(); begin += kPage) {
    const auto page = values.subspan(begin, std::min(kPage, values.size() - begin));
    LaneBits left{};
    size_t at = 0;
    for (; at + kLanes <= page.size(); at += kLanes) {
      const Lanes value = load_lanes(&page[at]);
      left |= (LaneBits)(value - value);
    }
    const bool all = ((left[0] | left[1]) | (left[2] | left[3])) == 0;
    if (all && at == page.size()) continue;
    const auto bad =
        std::find_if(page.begin(), page.end(), [](float v) { return !std::isfinite(v); });
    if (bad != page.end()) return begin + static_cast<size_t>(bad - page.begin());
  }
  return values.size();
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
  const size_t bad = first_not_finite(source.values);
  if (bad == source.values.size()) return {};
  const auto at = static_cast<int64_t>(bad);
  return bad_input(source.name,
                   fmt::format("value [{}, {}] is {}", at / source.columns, at % source.columns,
                               source.values[bad]),
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
