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

// Plain sums of four are what compilers make two vectors of.
void add_squares(const Columns& differences, const Columns& values, size_t count,
                 std::array<double, kRows>& errors, std::array<double, kRows>& norms) {
  std::array<double, kRows> error = errors, norm = norms;
  for (size_t at = 0; at < count * kRows; at += kRows) {
    for (size_t row = 0; row < kRows; ++row) {
      const auto difference = static_cast<double>(differences[at + row]);
      const auto value = static_cast<double>(values[at + row]);
      error[row] += difference * difference;
      norm[row] += value * value;
    }
  }
  errors = error;
  norms = norm;
}

// Four columns of four rows. The differences are exact in F32: a value and its nearest code are
// within a factor of two, or the code is zero.
struct Step {
  std::array<Lanes, kRows> values, differences;
  std::array<codec::LaneBits, kRows> codes;

  explicit Step(const std::array<const float*, kRows>& from,
                const std::array<float, kRows>& scales) {
    for (size_t row = 0; row < kRows; ++row) {
      values[row] = codec::load_lanes(from[row]);
      const codec::E4m3Lanes encoded = codec::encode_e4m3(values[row] / scales[row]);
      differences[row] = encoded.values * scales[row] - values[row];
      codes[row] = encoded.codes;
    }
  }
};

// Up to kStep columns of four rows. What is missing of a row or of the last four columns is zero:
// it has neither error nor norm.
void encode_step(const RowsOfPart& part, size_t begin, size_t count, Columns& values,
                 Columns& differences) {
  static constexpr std::array<float, kStep> kZeros{};
  std::array<std::array<int32_t, kStep>, kRows> codes;
  std::array<const float*, kRows> rows;
  for (size_t row = 0; row < kRows; ++row)
    rows[row] = row < part.count ? part.values + row * part.stride + begin : kZeros.data();
  const auto take = [&](size_t at, const std::array<const float*, kRows>& from) {
    const Step step(from, part.scales);
    codec::transpose(step.values, &values[at * kRows]);
    codec::transpose(step.differences, &differences[at * kRows]);
    for (size_t row = 0; row < kRows; ++row)
      std::memcpy(&codes[row][at], &step.codes[row], sizeof step.codes[row]);
  };
  size_t at = 0;
  for (; at + kLanes <= count; at += kLanes)
    take(at, {rows[0] + at, rows[1] + at, rows[2] + at, rows[3] + at});
  if (at < count) {
    std::array<std::array<float, kLanes>, kRows> last{};
    for (size_t row = 0; row < kRows; ++row)
      std::copy(rows[row] + at, rows[row] + count, last[row].begin());
    take(at, {last[0].data(), last[1].data(), last[2].data(), last[3].data()});
  }
  for (size_t row = 0; row < part.count; ++row) {
    uint8_t* out = part.codes + row * part.stride + begin;
    for (size_t i = 0; i < count; ++i) out[i] = static_cast<uint8_t>(codes[row][i]);
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
    add_squares(differences, values, count, errors, norms);
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

namespace {

// The part's scale. `values` begins with its first value and has `rows` rows of `columns` of it.
float scale_of(const Fp8Parts& parts, std::span<const float> values, int64_t rows,
               int64_t columns) {
  const auto row_of = [&](int64_t row) {
    return values.subspan(static_cast<size_t>(row * parts.columns), static_cast<size_t>(columns));
  };
  if (parts.search) return best_fp8_scale(row_of(0), parts.stored);
  float amax = 0;
  for (int64_t row = 0; row < rows; ++row) amax = std::max(amax, codec::amax_of(row_of(row)));
  return plain_fp8_scale(amax, parts.stored);
}

}  // namespace

void find_fp8_scales(const Fp8Parts& parts, std::span<const float> values,
                     std::span<float> scales) {
  const int64_t rows = static_cast<int64_t>(values.size()) / parts.columns;
  auto scale = scales.begin();
  for (int64_t row = 0; row < rows; row += parts.height) {
    for (int64_t column = 0; column < parts.columns; column += parts.width) {
      *scale++ = scale_of(parts, values.subspan(static_cast<size_t>(row * parts.columns + column)),
                          std::min(parts.height, rows - row),
                          std::min(parts.width, parts.columns - column));
    }
  }
}

// Tile by tile, so that a tile is in a near cache when it is encoded; of rows four at a time.
void encode_fp8_rows(const Fp8Parts& parts, std::span<const float> values, std::span<float> scales,
                     uint8_t* codes, std::span<convert::ErrorSum> sums) {
  const auto all = static_cast<int64_t>(sums.size()), group = static_cast<int64_t>(kRows);
  const int64_t band = std::max(parts.height, group);
  for (int64_t top = 0; top < all; top += band) {
    const int64_t bottom = std::min(all, top + band);
    for (int64_t j = 0; j < parts.across; ++j) {
      const int64_t column = j * parts.width,
                    columns = std::min(parts.width, parts.columns - column);
      const auto place = [&](int64_t row) {
        return static_cast<size_t>(row * parts.columns + column);
      };
      const auto scale = [&](int64_t row) -> float& {
        return scales[static_cast<size_t>(row / parts.height * parts.across + j)];
      };
      for (int64_t row = top; row < bottom; row += parts.height) {
        const int64_t height = std::min(parts.height, bottom - row);
        scale(row) = scale_of(parts, values.subspan(place(row)), height, columns);
      }
      for (int64_t row = top; row < bottom; row += group) {
        RowsOfPart part;
        part.stride = static_cast<size_t>(parts.columns);
        part.count = static_cast<size_t>(std::min(group, bottom - row));
        part.values = &values[place(row)];
        part.codes = codes + place(row);
        for (size_t i = 0; i < part.count; ++i)
          part.scales[i] = scale(row + static_cast<int64_t>(i));
        encode_part(part, static_cast<size_t>(columns), &sums[static_cast<size_t>(row)]);
      }
    }
  }
}

}  // namespace sluice::quantize
