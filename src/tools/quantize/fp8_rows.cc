#include "tools/quantize/fp8_rows.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "codec/e4m3_lanes.h"
#include "codec/encode.h"
#include "codec/fp8.h"
#include "tools/quantize/fp8_search.h"

namespace sluice::quantize {
namespace {

using codec::kLanes;
using codec::Lanes;

// A row's sums are made one column after the other, whatever the machine and the number of threads;
// so four rows are summed side by side, which leaves the processor something to do while each waits
// for its own addition.
constexpr size_t kRows = 4;
constexpr size_t kStep = 128;  // columns between encoding and summing: all of it in the first cache

struct RowsOfPart {
  const float* values = nullptr;  // of the first row
  uint8_t* codes = nullptr;
  size_t stride = 0;
  size_t count = 0;  // rows, at most kRows
  std::array<float, kRows> scales = {1, 1, 1, 1};
};

// Columns of four rows, row after row within a column.
using Columns = std::array<float, kStep * kRows>;

// Four plain sums are what compilers make two vectors of.
std::array<double, kRows> add_squares(const float* columns, size_t count,
                                      const std::array<double, kRows>& begin) {
  auto [a, b, c, d] = begin;
  for (const float* at = columns; at != columns + count * kRows; at += kRows) {
    const double w = static_cast<double>(at[0]), x = static_cast<double>(at[1]),
                 y = static_cast<double>(at[2]), z = static_cast<double>(at[3]);
    a += w * w;
    b += x * x;
    c += y * y;
    d += z * z;
  }
  return {a, b, c, d};
}

// Up to kStep columns of four rows. What is missing of a row or of four columns is zero: it has
// neither error nor norm. The differences are exact in F32: a value and its nearest code are within
// a factor of two, or the code is zero.
void encode_step(const RowsOfPart& part, size_t begin, size_t count, Columns& values,
                 Columns& differences) {
  std::array<std::array<int32_t, kStep>, kRows> codes;
  for (size_t at = 0; at < count; at += kLanes) {
    const size_t taken = std::min(kLanes, count - at);
    std::array<Lanes, kRows> value{}, difference{};
    for (size_t row = 0; row < kRows; ++row) {
      const float* from = part.values + row * part.stride + begin + at;
      if (row < part.count) std::memcpy(&value[row], from, taken * sizeof(float));
      const codec::E4m3Lanes encoded = codec::encode_e4m3(value[row] / part.scales[row]);
      difference[row] = encoded.values * part.scales[row] - value[row];
      std::memcpy(&codes[row][at], &encoded.codes, sizeof encoded.codes);
    }
    codec::transpose(value, &values[at * kRows]);
    codec::transpose(difference, &differences[at * kRows]);
  }
  for (size_t row = 0; row < part.count; ++row) {
    uint8_t* out = part.codes + row * part.stride + begin;
    for (size_t at = 0; at < count; ++at) out[at] = static_cast<uint8_t>(codes[row][at]);
  }
}

// One part of up to four rows. Its error is summed by itself and then added.
void encode_part(const RowsOfPart& part, size_t columns, convert::ErrorSum* sums) {
  Columns values, differences;
  std::array<double, kRows> errors{}, norms{};
  for (size_t row = 0; row < part.count; ++row) norms[row] = sums[row].squared_norm;
  for (size_t begin = 0; begin < columns; begin += kStep) {
    const size_t count = std::min(kStep, columns - begin);
    encode_step(part, begin, count, values, differences);
    errors = add_squares(differences.data(), count, errors);
    norms = add_squares(values.data(), count, norms);
  }
  for (size_t row = 0; row < part.count; ++row) {
    sums[row].squared_error += errors[row];
    sums[row].squared_norm = norms[row];
  }
}

}  // namespace

Fp8Parts::Fp8Parts(Format format, int64_t matrix_columns, DType stored_type, bool searched)
    : columns(matrix_columns),
      height(format == Format::kFp8Channel ? 1 : codec::kFp8Tile),
      width(format == Format::kFp8Channel ? columns : codec::kFp8Tile),
      across((columns + width - 1) / width),
      stored(stored_type),
      search(searched && format == Format::kFp8Channel) {}

void find_fp8_scales(const Fp8Parts& parts, std::span<const float> values,
                     std::span<float> scales) {
  const int64_t rows = static_cast<int64_t>(values.size()) / parts.columns;
  size_t at = 0;
  for (int64_t top = 0; top < rows; top += parts.height) {
    for (int64_t begin = 0; begin < parts.columns; begin += parts.width) {
      const int64_t taken = std::min(parts.width, parts.columns - begin);
      const auto part_of = [&](int64_t row) {
        return values.subspan(static_cast<size_t>(row * parts.columns + begin),
                              static_cast<size_t>(taken));
      };
      float amax = 0;
      for (int64_t row = top; row < std::min(rows, top + parts.height); ++row)
        amax = std::max(amax, codec::amax_of(part_of(row)));
      scales[at++] = parts.search ? best_fp8_scale(part_of(top), parts.stored)
                                  : plain_fp8_scale(amax, parts.stored);
    }
  }
}

void encode_fp8_rows(const Fp8Parts& parts, std::span<const float> values,
                     std::span<const float> scales, uint8_t* codes,
                     std::span<convert::ErrorSum> sums) {
  const auto columns = static_cast<size_t>(parts.columns), width = static_cast<size_t>(parts.width);
  const auto across = static_cast<size_t>(parts.across), height = static_cast<size_t>(parts.height);
  for (size_t row = 0; row < sums.size(); row += kRows) {
    RowsOfPart rows;
    rows.count = std::min(kRows, sums.size() - row);
    rows.stride = columns;
    for (size_t part = 0; part < across; ++part) {
      const size_t begin = part * width;
      for (size_t i = 0; i < rows.count; ++i)
        rows.scales[i] = scales[(row + i) / height * across + part];
      rows.values = &values[row * columns + begin];
      rows.codes = codes + row * columns + begin;
      encode_part(rows, std::min(width, columns - begin), &sums[row]);
    }
  }
}

}  // namespace sluice::quantize
