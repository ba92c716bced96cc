#include "codec/integer.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "codec/bytes.h"
#include "codec/scales.h"

namespace sluice::codec {
namespace {

// 32 codes of b bits fill exactly b words, so the positions inside such a chunk are constants.
template <int kBits>
void unpack_chunk(const uint8_t* words, int8_t* codes) {
  std::array<uint64_t, kBits + 1>
      word{};  // one zero word more: the last code may look beyond its end
  for (int w = 0; w < kBits; ++w) word[static_cast<size_t>(w)] = load_u32(words + 4 * w);
  for (int i = 0; i < 32; ++i) {
    const auto at = static_cast<size_t>(i * kBits / 32);
    const uint64_t pair = word[at] | (word[at + 1] << 32);
    const auto raw = static_cast<int>((pair >> (i * kBits % 32)) & ((1u << kBits) - 1));
    codes[i] = static_cast<int8_t>(raw - (1 << (kBits - 1)));
  }
}

using UnpackChunk = void (*)(const uint8_t*, int8_t*);

UnpackChunk chunk_function(int bits) {
  static constexpr std::array<UnpackChunk, 7> kFunctions = {
      unpack_chunk<2>, unpack_chunk<3>, unpack_chunk<4>, unpack_chunk<5>,
      unpack_chunk<6>, unpack_chunk<7>, unpack_chunk<8>};
  SLUICE_CHECK(bits >= kMinIntegerBits && bits <= kMaxIntegerBits, "bits {}", bits);
  return kFunctions[static_cast<size_t>(bits - kMinIntegerBits)];
}

}  // namespace

void unpack_integer_row(const uint8_t* words, int64_t count, int bits, int8_t* codes) {
  const UnpackChunk unpack = chunk_function(bits);
  for (; count >= 32; count -= 32, words += 4 * bits, codes += 32) unpack(words, codes);
  if (count == 0) return;
  std::array<uint8_t, 4 * kMaxIntegerBits> padded{};
  std::array<int8_t, 32> last;
  std::memcpy(padded.data(), words, static_cast<size_t>(4 * packed_words(count, bits)));
  unpack(padded.data(), last.data());
  std::copy_n(last.data(), count, codes);
}

void pack_integer_row(const int8_t* codes, int64_t count, int bits, uint8_t* words) {
  uint64_t pending = 0;
  int filled = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto raw = static_cast<uint64_t>(codes[i] + (1 << (bits - 1)));
    pending |= raw << filled;
    filled += bits;
    if (filled >= 32) {
      store_u32(words, static_cast<uint32_t>(pending));
      words += 4;
      pending >>= 32;
      filled -= 32;
    }
  }
  if (filled > 0) store_u32(words, static_cast<uint32_t>(pending));
}

int integer_zero_point(const EncodedMatrix& matrix, int64_t row, int64_t group) {
  const int64_t bit = row * matrix.bits, word = bit / 32, groups = matrix.zero_points.columns;
  const int shift = static_cast<int>(bit % 32);
  const std::byte* bytes = matrix.zero_points.bytes.data() + 4 * group;
  uint64_t pair = load_u32(bytes + 4 * word * groups);
  if (shift + matrix.bits > 32) {
    pair |= static_cast<uint64_t>(load_u32(bytes + 4 * (word + 1) * groups)) << 32;
  }
  return static_cast<int>((pair >> shift) & ((1u << matrix.bits) - 1)) - (1 << (matrix.bits - 1));
}

void decode_integer_rows(const EncodedMatrix& matrix, int64_t first, int64_t count, float* out) {
  const int64_t columns = matrix.columns, group = matrix.block_columns, groups = columns / group;
  const int64_t row_bytes = matrix.packed ? 4 * packed_words(columns, matrix.bits) : columns;
  const auto* bytes =
      reinterpret_cast<const uint8_t*>(matrix.codes.bytes.data()) + first * row_bytes;
  const bool per_tensor = matrix.block_rows != 1;
  // Codes are unpacked a piece at a time, into a buffer that stays in the first cache and needs no
  // allocation.
  constexpr int64_t kPiece = 512;  // a multiple of 32, so every piece begins at a whole word
  std::array<int8_t, kPiece> unpacked;

  for (int64_t row = first; row < first + count; ++row, bytes += row_bytes, out += columns) {
    for (int64_t begin = 0; begin < columns; begin += kPiece) {
      const int64_t end = std::min(columns, begin + kPiece);
      const int8_t* codes = reinterpret_cast<const int8_t*>(bytes) + begin;
      if (matrix.packed) {
        unpack_integer_row(bytes + begin / 32 * 4 * matrix.bits, end - begin, matrix.bits,
                           unpacked.data());
        codes = unpacked.data();
      }
      for (int64_t k = begin; k < end;) {
        const int64_t g = k / group, stop = std::min(end, (g + 1) * group);
        const float scale = scale_at(matrix.scales, per_tensor ? 0 : row * groups + g);
        const int zero = matrix.zero_points.empty() ? 0 : integer_zero_point(matrix, row, g);
        for (; k < stop; ++k) out[k] = static_cast<float>(codes[k - begin] - zero) * scale;
      }
    }
  }
}

}  // namespace sluice::codec
