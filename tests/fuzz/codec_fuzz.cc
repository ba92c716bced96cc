// Arbitrary planes, shapes and factors: what check_matrix lets through decodes without reading out
// of bounds, and the value checks stay in bounds too. The decoded values themselves are free.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "base/check.h"
#include "codec/codec.h"

namespace {

using sluice::DType;
using sluice::EncodedMatrix;
using sluice::Format;

constexpr uint64_t kMaxBytes = 1 << 16;  // of a plane

// Consumes the fuzzer's bytes; zeros when they are used up.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  // Mostly small, sometimes any 64-bit number.
  int64_t extent() {
    const uint8_t kind = byte();
    if (kind < 200) return kind;
    if (kind < 245) return static_cast<int64_t>(kind - 200) * 32;
    uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value = (value << 8) | byte();
    return static_cast<int64_t>(value);
  }
  float real() {
    uint8_t bytes[4] = {byte(), byte(), byte(), byte()};
    float value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

struct Expected {
  DType dtype;
  int64_t rows, columns;
};

// A plane in a buffer of exactly its size, so that the sanitizer sees any step beyond it. Mostly
// what the format expects, because random shapes hardly ever agree with each other.
struct OwnedPlane {
  std::unique_ptr<std::byte[]> bytes;
  sluice::Plane plane;

  OwnedPlane(Input& input, const Expected& expected) {
    const uint8_t flags = input.byte();
    plane.dtype = (flags & 0x30) == 0x30 ? static_cast<DType>(input.byte() % 36) : expected.dtype;
    plane.rows = (flags & 0x03) == 0x03 ? input.extent() : expected.rows;
    plane.columns = (flags & 0x0C) == 0x0C ? input.extent() : expected.columns;
    size_t size = input.byte();
    uint64_t elements = 0;
    if (plane.rows >= 0 && plane.columns >= 0 &&
        !__builtin_mul_overflow(static_cast<uint64_t>(plane.rows),
                                static_cast<uint64_t>(plane.columns), &elements)) {
      const auto exact = sluice::dtype_bytes(plane.dtype, elements);
      if (exact && *exact <= kMaxBytes && (flags & 0xC0) != 0xC0)
        size = static_cast<size_t>(*exact);
    }
    bytes = std::make_unique<std::byte[]>(size);
    const uint8_t start = input.byte(), step = input.byte();
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(start + i * step);
    plane.bytes = {bytes.get(), size};
  }
};

// Fills in block extents and says which planes would be right.
struct Layout {
  Expected codes{DType::kF32, 0, 0}, scales{DType::kF32, 0, 0}, zeros{DType::kI32, 0, 0};
};

Layout expected_layout(EncodedMatrix& m, Input& input) {
  const int64_t rows = m.rows, columns = m.columns;
  Layout layout;
  layout.codes = {DType::kF8E4M3, rows, columns};
  m.block_rows = 1;
  switch (m.format) {
    case Format::kF32:
    case Format::kF16:
    case Format::kBF16:
      layout.codes.dtype = m.format == Format::kF32   ? DType::kF32
                           : m.format == Format::kF16 ? DType::kF16
                                                      : DType::kBF16;
      break;
    case Format::kFp8Block:
      m.block_rows = m.block_columns = 128;
      layout.scales = {DType::kBF16, (rows + 127) / 128, (columns + 127) / 128};
      break;
    case Format::kFp8Channel:
      m.block_columns = columns;
      layout.scales = {DType::kBF16, rows, 1};
      break;
    case Format::kFp8Tensor:
      m.block_rows = rows;
      m.block_columns = columns;
      layout.scales = {DType::kF16, 1, 1};
      break;
    case Format::kNvfp4:
    case Format::kNvfp4A4:
    case Format::kNvfp4A8:
    case Format::kW4A8Nvfp4:
      m.block_columns = m.format == Format::kW4A8Nvfp4 ? 32 : 16;
      layout.codes = {DType::kU8, rows, columns / 2};
      layout.scales = {DType::kF8E4M3, rows, columns / m.block_columns};
      break;
    case Format::kMxfp4:
    case Format::kMxfp8:
      m.block_columns = 32;
      if (m.format == Format::kMxfp4) layout.codes = {DType::kU8, rows, columns / 2};
      layout.scales = {DType::kU8, rows, columns / 32};
      break;
    case Format::kInt4:
    case Format::kInt4A8:
    case Format::kInt8: {
      m.block_columns = input.byte() % 2 != 0 ? columns : 1 + input.byte();
      const int64_t groups = columns / m.block_columns;
      layout.codes = {m.packed ? DType::kI32 : DType::kI8, rows,
                      m.packed ? (columns * m.bits + 31) / 32 : columns};
      layout.scales = {DType::kBF16, rows, groups};
      if (input.byte() % 2 != 0) layout.zeros = {DType::kI32, (rows * m.bits + 31) / 32, groups};
      break;
    }
    default: {
      const auto block = static_cast<int>(m.format) - static_cast<int>(Format::kQ4_0);
      layout.codes.dtype = static_cast<DType>(static_cast<int>(DType::kQ4_0) + block % 14);
    }
  }
  return layout;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using sluice::codec::NanCodes;
  Input input(data, size);
  EncodedMatrix m;
  m.format = static_cast<Format>(input.byte() % (sluice::kFormatCount + 1));
  m.rows = input.extent();
  m.columns = input.extent();
  m.bits = input.byte() % 10;
  m.packed = input.byte() % 2 != 0;
  // Larger sides would overflow in the arithmetic of this file, not of the codec's.
  const bool small = m.rows >= 1 && m.rows <= 1 << 20 && m.columns >= 1 && m.columns <= 1 << 20;
  const Layout layout = small ? expected_layout(m, input) : Layout{};
  m.tensor_scale.use = static_cast<sluice::TensorScale::Use>(input.byte() % 3);
  m.tensor_scale.value = input.real();
  const uint8_t disturb = input.byte();
  if (disturb < 16) m.block_rows = input.extent();
  if (disturb % 16 == 1) m.block_columns = input.extent();
  const OwnedPlane codes(input, layout.codes), scales(input, layout.scales),
      zeros(input, layout.zeros);
  m.codes = codes.plane;
  m.scales = scales.plane;
  m.zero_points = zeros.plane;

  if (!sluice::codec::check_matrix(m, "fuzz").ok()) return 0;
  (void)sluice::codec::check_scales(m, "fuzz");
  (void)sluice::codec::check_codes(m, "fuzz",
                                   input.byte() % 2 != 0 ? NanCodes::kZero : NanCodes::kKeep);
  const auto elements = static_cast<uint64_t>(m.rows) * static_cast<uint64_t>(m.columns);
  SLUICE_CHECK(elements <= uint64_t{8} << 20, "{} x {} weights from at most 1 MiB", m.rows,
               m.columns);
  const int64_t first = m.rows / 2;
  std::vector<float> out(static_cast<size_t>((m.rows - first) * m.columns));
  sluice::codec::decode_rows(m, first, m.rows - first, out.data());
  out.resize(static_cast<size_t>(m.columns));
  sluice::codec::decode_rows(m, 0, 1, out.data(), NanCodes::kZero);
  return 0;
}
