// How floats, FP8, FP4 and integers of safetensors files are packed (spec/formats-safetensors.md
// 3). Exact, and in the file's own number of bytes but for scales that are repeated to a
// power-of-two group (integers with groups above 256 or odd multiples of 16).
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "backend/cpu/pack/row_unit.h"
#include "base/check.h"
#include "codec/codec.h"
#include "codec/integer.h"
#include "codec/number_formats.h"
#include "codec/scales.h"

namespace sluice::cpu {
namespace {

const uint8_t* bytes_of(const Plane& plane) {
  return reinterpret_cast<const uint8_t*>(plane.bytes.data());
}

// Columns of the unit that exist.
int64_t unit_columns(const EncodedMatrix& source, const UnitShape& shape, int64_t unit) {
  return std::min<int64_t>(shape.columns, source.columns - unit * shape.columns);
}

void read_plain(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
                RowUnit& out) {
  const int64_t width = shape.codes == CodeKind::kF32 ? 4 : 2;
  const int64_t begin = row * source.columns + unit * shape.columns;
  std::memcpy(out.codes, bytes_of(source.codes) + begin * width,
              static_cast<size_t>(unit_columns(source, shape, unit) * width));
}

void read_decoded(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
                  RowUnit& out) {
  // Only odd group sizes come here, a whole row for each of its units: slow and rare.
  std::vector<float> values(static_cast<size_t>(source.columns));
  codec::decode_rows(source, row, 1, values.data());
  std::memcpy(out.codes, values.data() + unit * shape.columns,
              static_cast<size_t>(unit_columns(source, shape, unit)) * sizeof(float));
}

void read_fp8(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
              RowUnit& out) {
  const int64_t count = unit_columns(source, shape, unit);
  const uint8_t* codes = bytes_of(source.codes) + row * source.columns + unit * shape.columns;
  for (int64_t i = 0; i < count; ++i) {
    out.codes[i] =
        (codes[i] & 0x7f) == 0x7f ? uint8_t{0} : codes[i];  // --allow-nan: NaN codes are zeros
  }
  if (shape.scales == ScaleKind::kE8M0) {
    const int64_t per_row = source.columns / kGranule;
    std::memcpy(out.scales, bytes_of(source.scales) + row * per_row + unit * shape.scale_groups,
                static_cast<size_t>(count / kGranule));
  }
}

// NVFP4 and MXFP4: low nibble = even column.
void read_fp4(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
              RowUnit& out) {
  const int64_t count = unit_columns(source, shape, unit);
  const uint8_t* codes = bytes_of(source.codes) + (row * source.columns + unit * shape.columns) / 2;
  uint8_t values[kIntegerColumns] = {};
  for (int64_t i = 0; i < count / 2; ++i) {
    values[2 * i] = codes[i] & 15;
    values[2 * i + 1] = static_cast<uint8_t>(codes[i] >> 4);
  }
  join_nibbles(values, out.codes);
  const int64_t group = shape.columns / shape.scale_groups, per_row = source.columns / group;
  std::memcpy(out.scales, bytes_of(source.scales) + row * per_row + unit * shape.scale_groups,
              static_cast<size_t>(count / group));
}

void read_integers(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
                   RowUnit& out) {
  const int64_t count = unit_columns(source, shape, unit), first = unit * shape.columns;
  std::array<int8_t, kIntegerColumns> codes{};
  if (source.packed) {
    const int64_t row_bytes = 4 * codec::packed_words(source.columns, source.bits);
    codec::unpack_integer_row(
        bytes_of(source.codes) + row * row_bytes + first / 32 * 4 * source.bits, count, source.bits,
        codes.data());
  } else {
    std::memcpy(codes.data(), bytes_of(source.codes) + row * source.columns + first,
                static_cast<size_t>(count));
  }
  if (shape.codes == CodeKind::kNibbleTable) {
    uint8_t values[kIntegerColumns];
    for (size_t i = 0; i < codes.size(); ++i) values[i] = static_cast<uint8_t>(codes[i] + 8);
    join_nibbles(values, out.codes);
  } else {
    interleave_granules(reinterpret_cast<const uint8_t*>(codes.data()), out.codes);
  }
  const int64_t per_row = source.columns / source.block_columns,
                width = shape.columns / shape.scale_groups;
  for (int s = 0; s < shape.scale_groups; ++s) {
    const int64_t column = first + s * width;
    if (column >= source.columns) break;
    const int64_t group = column / source.block_columns;
    const int64_t index = row * per_row + group;
    if (shape.scales == ScaleKind::kF32) {
      const float scale = codec::scale_at(source.scales, index);
      std::memcpy(out.scales + 4 * s, &scale, 4);
    } else if (shape.scales != ScaleKind::kNone) {
      std::memcpy(out.scales + 2 * s, bytes_of(source.scales) + 2 * index, 2);
    }
    if (shape.mins == MinKind::kZeroPoint) {
      out.mins[s] = static_cast<uint8_t>(codec::integer_zero_point(source, row, group));
    }
  }
}

PackPlan decoded_plan() {
  PackPlan plan;
  plan.shape.codes = CodeKind::kF32;
  plan.read = read_decoded;
  return plan;
}

PackPlan plan_integers(const EncodedMatrix& source) {
  PackPlan plan;
  plan.read = read_integers;
  plan.shape.codes = source.bits <= 4 ? CodeKind::kNibbleTable : CodeKind::kByte;
  for (int q = 0; q < 16; ++q) plan.table[q] = static_cast<int8_t>(q - 8);
  if (!source.zero_points.empty()) plan.shape.mins = MinKind::kZeroPoint;
  const int64_t group = source.block_columns;
  if (group == source.columns) {
    plan.row_scaled = true;
    return plan;
  }
  int64_t groups = 0;
  for (const int64_t width : {256, 128, 64, 32, 16}) {
    if (group % width == 0) {
      groups = kIntegerColumns / width;
      break;
    }
  }
  if (groups == 0) return decoded_plan();
  plan.shape.scale_groups = static_cast<uint8_t>(groups);
  plan.shape.scales = source.scales.dtype == DType::kBF16  ? ScaleKind::kBF16
                      : source.scales.dtype == DType::kF16 ? ScaleKind::kF16
                                                           : ScaleKind::kF32;
  return plan;
}

PackPlan plan_fp4(ScaleKind scales, int groups) {
  PackPlan plan;
  plan.shape.codes = CodeKind::kNibbleTable;
  plan.shape.scales = scales;
  plan.shape.scale_groups = static_cast<uint8_t>(groups);
  plan.read = read_fp4;
  std::copy(codec::kE2m1Doubled.begin(), codec::kE2m1Doubled.end(), plan.table);
  plan.table_scale = 0.5f;
  return plan;
}

}  // namespace

PackPlan plan_safetensors(const EncodedMatrix& source) {
  PackPlan plan;
  switch (source.format) {
    case Format::kBF16:
    case Format::kF16:
    case Format::kF32:
      plan.shape.codes = source.format == Format::kBF16  ? CodeKind::kBF16
                         : source.format == Format::kF16 ? CodeKind::kF16
                                                         : CodeKind::kF32;
      plan.read = read_plain;
      return plan;
    case Format::kFp8Block:
    case Format::kFp8Channel:
    case Format::kFp8Tensor:
      plan.shape.codes = CodeKind::kE4M3;
      plan.read = read_fp8;
      plan.row_scaled = source.format != Format::kFp8Block;
      return plan;
    case Format::kMxfp8:
      plan.shape.codes = CodeKind::kE4M3;
      plan.shape.scales = ScaleKind::kE8M0;
      plan.shape.scale_groups = kFloatColumns / kGranule;
      plan.read = read_fp8;
      return plan;
    case Format::kNvfp4:
    case Format::kNvfp4A4:
    case Format::kNvfp4A8:
    case Format::kW4A8Nvfp4:
      return plan_fp4(ScaleKind::kE4M3, static_cast<int>(kIntegerColumns / source.block_columns));
    case Format::kMxfp4:
      return plan_fp4(ScaleKind::kE8M0, kIntegerColumns / kGranule);
    case Format::kInt4:
    case Format::kInt4A8:
    case Format::kInt8:
      return plan_integers(source);
    default:
      SLUICE_CHECK(false, "{} has no plan", format_name(source.format));
  }
}

}  // namespace sluice::cpu
