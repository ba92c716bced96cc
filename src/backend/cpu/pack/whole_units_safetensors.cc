// Formats of safetensors files, whole units (spec/formats-safetensors.md 3; the order of codes is
// product.h's).
#include "backend/cpu/pack/lines.h"
#include "backend/cpu/pack/whole_units.h"
#include "codec/codec.h"

namespace sluice::cpu {
namespace {

const uint8_t* bytes_of(const Plane& plane) {
  return reinterpret_cast<const uint8_t*>(plane.bytes.data());
}

// Where the unit begins in a plane with `unit_bytes` per row and unit, and from row to row.
struct Rows {
  const uint8_t* first;
  int64_t stride;

  Rows(const Plane& plane, const EncodedMatrix& source, const UnitShape& shape, int64_t row,
       int64_t unit, int64_t unit_bytes)
      : first(bytes_of(plane)), stride(source.columns * unit_bytes / shape.columns) {
    first += row * stride + unit * unit_bytes;
  }
  template <typename Vector>
  Vector vector(int row, int v) const {
    return load_vector<Vector>(first + row * stride + 16 * v);
  }
};

void pack_dwords(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
                 uint8_t* out) {
  const int64_t width = shape.codes == CodeKind::kF32 ? 4 : 2;
  const Rows rows(source.codes, source, shape, row, unit, kFloatColumns * width);
  transpose_dwords(static_cast<int>(kFloatColumns * width / 16), 1, out + shape.code_offset,
                   [&](int r, int v) { return rows.vector<Words>(r, v); });
}

void pack_f16(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
              uint8_t* out) {
  const Rows rows(source.codes, source, shape, row, unit, kFloatColumns * 2);
  transpose_halves(kFloatColumns / 8, out + shape.code_offset,
                   [&](int r, int v) { return rows.vector<Halves>(r, v); });
}

// Scales of a byte, a few of each row.
template <int kCount>
void pack_byte_scales(const EncodedMatrix& source, const UnitShape& shape, int64_t row,
                      int64_t unit, uint8_t* out) {
  const Rows rows(source.scales, source, shape, row, unit, kCount);
  Bytes columns[16];
  transpose_bytes<kCount>(rows.first, static_cast<size_t>(rows.stride), columns);
  for (int i = 0; i < kCount; ++i) store_vector(columns[i], out + shape.scale_offset + 16 * i);
}

void pack_fp8(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
              uint8_t* out) {
  const Rows rows(source.codes, source, shape, row, unit, kFloatColumns);
  transpose_dwords(kFloatColumns / 16, 1, out + shape.code_offset, [&](int r, int v) {
    const auto codes = rows.vector<Bytes>(r, v);
    const auto numbers = (Bytes)((codes & 0x7f) != 0x7f);  // --allow-nan: NaN codes are zeros
    return (Words)(codes & numbers);
  });
  if (shape.scales == ScaleKind::kE8M0) pack_byte_scales<4>(source, shape, row, unit, out);
}

// Nibbles in column order, the even one low: FP4, and integers of four bits with their offset.
void pack_nibbles(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
                  uint8_t* out) {
  const Rows rows(source.codes, source, shape, row, unit, kIntegerColumns / 2);
  transpose_dwords(8, 1, out + shape.code_offset, [&](int r, int v) {
    // 32 columns of granules 2p and 2p + 1: even and odd columns of both, then in order again.
    const auto a = rows.vector<Words>(r, v & ~1), b = rows.vector<Words>(r, v | 1);
    const auto even = (Bytes)join_low(a, b), odd = (Bytes)join_high(a, b);
    return (Words)(v % 2 == 0 ? zip_low(even, odd) : zip_high(even, odd));
  });
}

void pack_fp4(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
              uint8_t* out) {
  pack_nibbles(source, shape, row, unit, out);
  if (shape.scale_groups == 16) return pack_byte_scales<16>(source, shape, row, unit, out);
  pack_byte_scales<8>(source, shape, row, unit, out);
}

}  // namespace

UnitPacker unit_packer_safetensors(const EncodedMatrix& source) {
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
      return pack_fp4;
    default:
      return nullptr;  // integers
  }
}

}  // namespace sluice::cpu
