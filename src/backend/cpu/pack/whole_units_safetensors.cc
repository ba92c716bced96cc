// Formats of safetensors files, whole units (spec/formats-safetensors.md 3; the order of codes is
// product.h's).
#include "backend/cpu/pack/lines.h"
#include "backend/cpu/pack/row_unit.h"
#include "backend/cpu/pack/whole_units.h"
#include "codec/integer.h"

namespace sluice::cpu {
namespace {

const uint8_t* bytes_of(const Plane& plane) {
  return reinterpret_cast<const uint8_t*>(plane.bytes.data());
}

// Where the unit begins in sixteen rows of a plane, each of row_bytes, unit_bytes of them the
// unit's. (The plane may be longer than its rows: a matrix can be the first rows of another.)
struct Rows {
  const uint8_t* row[kGroupRows];
  size_t stride;

  Rows(const Plane& plane, int64_t row_bytes, int64_t first_row, int64_t unit, int64_t unit_bytes)
      : stride(static_cast<size_t>(row_bytes)) {
    row[0] = bytes_of(plane) + first_row * row_bytes + unit * unit_bytes;
    for (int r = 1; r < kGroupRows; ++r) row[r] = row[r - 1] + stride;
  }
  template <typename Vector>
  Vector vector(int r, int v) const {
    return load_vector<Vector>(row[r] + 16 * v);
  }
};

void pack_dwords(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
                 uint8_t* out) {
  const int64_t width = shape.codes == CodeKind::kF32 ? 4 : 2;
  const Rows rows(source.codes, source.columns * width, row, unit, kFloatColumns * width);
  transpose_dwords(static_cast<int>(kFloatColumns * width / 16), 1, out + shape.code_offset,
                   [&](int r, int v) { return rows.vector<Words>(r, v); });
}

void pack_f16(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
              uint8_t* out) {
  const Rows rows(source.codes, source.columns * 2, row, unit, kFloatColumns * 2);
  transpose_halves(kFloatColumns / 8, out + shape.code_offset,
                   [&](int r, int v) { return rows.vector<Halves>(r, v); });
}

// Scales of a byte, a few of each row.
template <int kCount>
void pack_byte_scales(const EncodedMatrix& source, const UnitShape& shape, int64_t row,
                      int64_t unit, uint8_t* out) {
  const Rows rows(source.scales, source.columns * kCount / shape.columns, row, unit, kCount);
  Bytes columns[16];
  transpose_bytes<kCount>(rows.row[0], rows.stride, columns);
  for (int i = 0; i < kCount; ++i) store_vector(columns[i], out + shape.scale_offset + 16 * i);
}

void pack_fp8(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
              uint8_t* out) {
  const Rows rows(source.codes, source.columns, row, unit, kFloatColumns);
  transpose_dwords(kFloatColumns / 16, 1, out + shape.code_offset, [&](int r, int v) {
    const auto codes = rows.vector<Bytes>(r, v);
    const auto numbers = (Bytes)((codes & 0x7f) != 0x7f);  // --allow-nan: NaN codes are zeros
    return (Words)(codes & numbers);
  });
  if (shape.scales == ScaleKind::kE8M0) pack_byte_scales<4>(source, shape, row, unit, out);
}

// Nibbles in column order, the even one low: FP4, and integers of four bits with their offset.
void pack_nibbles(const uint8_t* first, size_t row_bytes, uint8_t* codes) {
  transpose_pairs(4, codes, [&](int r, int p) -> TwoWords {
    // 32 columns of granules 2p and 2p + 1: even and odd columns of both, then in order again.
    const uint8_t* from = first + static_cast<size_t>(r) * row_bytes + 32 * p;
    const TwoWords joined = join_both(load_vector<Words>(from), load_vector<Words>(from + 16));
    const auto even = (Bytes)joined.first, odd = (Bytes)joined.second;
    return {(Words)zip_low(even, odd), (Words)zip_high(even, odd)};
  });
}

using NibblePacker = void (*)(const uint8_t* first, size_t row_bytes, uint8_t* codes);

template <NibblePacker kPack>
void pack_nibble_codes(const EncodedMatrix& source, const UnitShape& shape, int64_t row,
                       int64_t unit, uint8_t* out) {
  // Rows of integers fill whole words; those of FP4 do so anyway.
  const int64_t row_bytes = 4 * codec::packed_words(source.columns, 4);
  kPack(bytes_of(source.codes) + row * row_bytes + unit * (kIntegerColumns / 2),
        static_cast<size_t>(row_bytes), out + shape.code_offset);
}

template <NibblePacker kPack>
void pack_fp4(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
              uint8_t* out) {
  pack_nibble_codes<kPack>(source, shape, row, unit, out);
  if (shape.scale_groups == 16) return pack_byte_scales<16>(source, shape, row, unit, out);
  pack_byte_scales<8>(source, shape, row, unit, out);
}

// Zero points of sixteen rows in one group. Four bits, the usual width, are two words a column
// apart: sixteen calls for them would take longer than all else.
void pack_zero_points(const EncodedMatrix& source, int64_t row, int64_t group, uint8_t* out) {
  if (source.bits == 4) {
    const int64_t groups = source.zero_points.columns;
    const uint8_t* words = bytes_of(source.zero_points) + 4 * (row / 8 * groups + group);
    uint32_t halves[2];
    std::memcpy(&halves[0], words, 4);
    std::memcpy(&halves[1], words + 4 * groups, 4);
    for (int r = 0; r < kGroupRows; ++r) {
      out[r] = static_cast<uint8_t>((halves[r / 8] >> (4 * (r % 8)) & 15) - 8);
    }
    return;
  }
  for (int r = 0; r < kGroupRows; ++r) {
    out[r] = static_cast<uint8_t>(codec::integer_zero_point(source, row + r, group));
  }
}

// Zero points of four bits of four groups from `group` on: a word has eight rows of one group.
void pack_zero_points_of_four(const EncodedMatrix& source, int64_t row, int64_t group,
                              uint8_t* out) {
  const int64_t groups = source.zero_points.columns;
  const uint8_t* words = bytes_of(source.zero_points) + 4 * (row / 8 * groups + group);
  const auto first = load_vector<Words>(words), second = load_vector<Words>(words + 4 * groups);
  for (int pair = 0; pair < 2; ++pair) {
    const auto bytes = (Bytes)(pair == 0 ? zip_low(first, second) : zip_high(first, second));
    const Bytes even = bytes & 15, odd = bytes >> 4;
    store_vector<Bytes>(zip_low(even, odd) - 8, out + 2 * kGroupRows * pair);
    store_vector<Bytes>(zip_high(even, odd) - 8, out + 2 * kGroupRows * pair + kGroupRows);
  }
}

// As pack_integer_scales(), where a vector holds scales of one row that the unit takes one by one:
// groups of 32 and less, of 64 in f32.
void pack_small_group_scales(const EncodedMatrix& source, const UnitShape& shape, int64_t row,
                             int64_t unit, uint8_t* out) {
  const int bytes = scale_bytes(shape.scales);
  const Rows rows(source.scales, source.columns / source.block_columns * bytes, row, unit,
                  shape.scale_groups * bytes);
  const int vectors = shape.scale_groups * bytes / 16;
  if (bytes == 2) {
    transpose_halves(vectors, out + shape.scale_offset,
                     [&](int r, int v) { return rows.vector<Halves>(r, v); });
  } else {
    transpose_dwords(vectors, 1, out + shape.scale_offset,
                     [&](int r, int v) { return rows.vector<Words>(r, v); });
  }
  if (shape.mins != MinKind::kZeroPoint) return;
  const int64_t group = unit * shape.scale_groups;
  const int step = source.bits == 4 ? 4 : 1;
  for (int s = 0; s < shape.scale_groups; s += step) {
    uint8_t* to = out + shape.min_offset + kGroupRows * s;
    if (step == 4) pack_zero_points_of_four(source, row, group + s, to);
    if (step == 1) pack_zero_points(source, row, group + s, to);
  }
}

// One scale of each of sixteen rows, `stride` bytes apart.
template <size_t kBytes>
void gather(const uint8_t* from, size_t stride, uint8_t* to) {
  for (int r = 0; r < kGroupRows; ++r, from += stride, to += kBytes) std::memcpy(to, from, kBytes);
}

// Scales and zero points of integers, repeated where a group is wider than the unit's.
void pack_integer_scales(const EncodedMatrix& source, const UnitShape& shape, int64_t row,
                         int64_t unit, uint8_t* out) {
  const int64_t per_row = source.columns / source.block_columns;
  const int64_t width = shape.columns / shape.scale_groups;
  const int bytes = scale_bytes(shape.scales);
  if (width == source.block_columns && shape.scale_groups * bytes % 16 == 0 && bytes > 0)
    return pack_small_group_scales(source, shape, row, unit, out);
  const auto stride = static_cast<size_t>(per_row * bytes);
  const uint8_t* scales = bytes_of(source.scales) + row * per_row * bytes;
  for (int s = 0; s < shape.scale_groups; ++s) {
    const int64_t group = (unit * shape.columns + s * width) / source.block_columns;
    uint8_t* to = out + shape.scale_offset + bytes * kGroupRows * s;
    if (bytes == 2) gather<2>(scales + 2 * group, stride, to);
    if (bytes == 4) gather<4>(scales + 4 * group, stride, to);
    if (shape.mins == MinKind::kZeroPoint) {
      pack_zero_points(source, row, group, out + shape.min_offset + kGroupRows * s);
    }
  }
}

// Four bits, packed: stored with an offset of 8, as the table of the packed form has it.
template <NibblePacker kPack>
void pack_int4(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
               uint8_t* out) {
  pack_nibble_codes<kPack>(source, shape, row, unit, out);
  pack_integer_scales(source, shape, row, unit, out);
}

// Four bits, a byte each, signed.
void pack_int4_bytes(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
                     uint8_t* out) {
  const Rows rows(source.codes, source.columns, row, unit, kIntegerColumns);
  transpose_dwords(8, 1, out + shape.code_offset, [&](int r, int v) {
    const int low = 4 * (v / 2) + v % 2;  // granule 2p; two vectors on, granule 2p + 1
    return join_low((Words)(rows.vector<Bytes>(r, low) + 8),
                    (Words)(rows.vector<Bytes>(r, low + 2) + 8));
  });
  pack_integer_scales(source, shape, row, unit, out);
}

// Eight bits, a byte each; packed ones are stored with an offset of 128.
void pack_int8(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
               uint8_t* out) {
  const int64_t row_bytes =
      source.packed ? 4 * codec::packed_words(source.columns, 8) : source.columns;
  const Rows rows(source.codes, row_bytes, row, unit, kIntegerColumns);
  const uint32_t sign = source.packed ? 0x80808080u : 0;
  for (int granule = 0; granule < 8; ++granule) {
    transpose_dwords(2, 2, out + shape.code_offset + granule_offset(granule),
                     [&](int r, int v) { return rows.vector<Words>(r, 2 * granule + v) ^ sign; });
  }
  pack_integer_scales(source, shape, row, unit, out);
}

template <NibblePacker kPack>
UnitPacker integer_packer(const EncodedMatrix& source, const UnitShape& shape) {
  if (shape.codes == CodeKind::kF32) return nullptr;  // groups without a form: decoded
  if (source.bits == 8) return pack_int8;
  if (source.packed) return source.bits == 4 ? pack_int4<kPack> : nullptr;
  return source.bits <= 4 ? pack_int4_bytes : pack_int8;
}

template <NibblePacker kPack>
UnitPacker unit_packer(const EncodedMatrix& source, const UnitShape& shape) {
  switch (source.format) {
    case Format::kBF16:
    case Format::kF32:
      return pack_dwords;
    case Format::kF16:
      return pack_f16;
    case Format::kFp8Block:
    case Format::kFp8Channel:
    case Format::kFp8Tensor:
    case Format::kMxfp8:
      return pack_fp8;
    case Format::kNvfp4:
    case Format::kNvfp4A4:
    case Format::kNvfp4A8:
    case Format::kW4A8Nvfp4:
    case Format::kMxfp4:
      return pack_fp4<kPack>;
    case Format::kInt4:
    case Format::kInt4A8:
    case Format::kInt8:
      return integer_packer<kPack>(source, shape);
    default:
      return nullptr;
  }
}

}  // namespace

UnitPacker unit_packer_safetensors(const EncodedMatrix& source, const UnitShape& shape,
                                   [[maybe_unused]] InstructionSet set) {
#if defined(__x86_64__)
  if (set != InstructionSet::kPortable) return unit_packer<avx2::pack_nibbles>(source, shape);
#endif
  return unit_packer<pack_nibbles>(source, shape);
}

}  // namespace sluice::cpu
