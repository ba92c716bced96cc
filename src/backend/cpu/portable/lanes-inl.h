// Sixteen lanes in four vectors of 16 bytes, by the compilers' vector
// extension: SSE2 on x86-64, NEON on Arm. Included by the files of this folder
// only (see integer_product-inl.h).
#pragma once

#include <cstdint>
#include <cstring>

#include "backend/cpu/product.h"

#define SLUICE_INLINE static inline __attribute__((always_inline))
// With sixteen registers or so the sums live in memory anyway: unrolling would
// only multiply the code.
#define SLUICE_UNROLL

namespace sluice::cpu {
namespace {

using Bytes16 = uint8_t __attribute__((vector_size(16)));
using Halves16 = int16_t __attribute__((vector_size(16)));
using UnsignedHalves16 = uint16_t __attribute__((vector_size(16)));
using Ints16 = int32_t __attribute__((vector_size(16)));
using UnsignedInts16 = uint32_t __attribute__((vector_size(16)));
using Floats16 = float __attribute__((vector_size(16)));

struct Codes {
  Bytes16 v[4];
};
struct Ints {
  Ints16 v[4];
};
struct Floats {
  Floats16 v[4];
};

struct Lanes {
  static constexpr int kPairRows = 2;
  static constexpr int kTileGroups = 1;
  template <int kDigits>
  static constexpr int tile_rows() {
    return 1;
  }
  static constexpr bool kWords = false, kSignedBytes = true;
  static constexpr int64_t kWordsFrom = 0, kDirectWords = 0;
  static constexpr int64_t direct_bytes(bool) { return 0; }
  static constexpr bool kOffsetFirst = false;
  static constexpr bool kSums16 = false, kStartsWithProducts = false;
  static constexpr int kNibbleChain = 8, kFiveChain = 8, kSixChain = 8;
  // Float codes: rows whose results stay in registers; a tile's rows, up to how many of them the
  // sums of even and odd columns are made at once, and its groups.
  static constexpr int kFloatDirectRows = 2;
  static constexpr int kFloatTileRows = 2, kFloatBothRows = 2, kFloatGroups = 1;
  static constexpr bool kFloatPanels = true;
  static constexpr int kSignedOffsetShift = -1;  // signed codes are multiplied as they are

  template <typename T>
  SLUICE_INLINE T read(const void* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }

  SLUICE_INLINE Codes load_line(const uint8_t* line) { return read<Codes>(line); }
  SLUICE_INLINE void store_line(uint8_t* line, const Codes& codes) {
    std::memcpy(line, &codes, 64);
  }
  SLUICE_INLINE Codes signed_line(const uint8_t* line) { return load_line(line); }
  SLUICE_INLINE Codes and_mask(Codes codes, int mask) {
    for (Bytes16& v : codes.v) v &= static_cast<uint8_t>(mask);
    return codes;
  }
  SLUICE_INLINE Codes or_bits(Codes a, const Codes& b) {
    for (int i = 0; i < 4; ++i) a.v[i] |= b.v[i];
    return a;
  }
  // Bits cross the bytes of a word: callers mask.
  template <int kBits>
  SLUICE_INLINE Codes shift_right(Codes codes) {
    for (Bytes16& v : codes.v) v = (Bytes16)((UnsignedHalves16)v >> kBits);
    return codes;
  }
  template <int kBits>
  SLUICE_INLINE Codes shift_left(Codes codes) {
    for (Bytes16& v : codes.v) v = (Bytes16)((UnsignedHalves16)v << kBits);
    return codes;
  }
  SLUICE_INLINE Codes shift_right_by(Codes codes, int bits) {
    for (Bytes16& v : codes.v) v = (Bytes16)((UnsignedHalves16)v >> static_cast<uint16_t>(bits));
    return codes;
  }
  SLUICE_INLINE Codes load_table(const int8_t* table) {
    Codes out{};
    std::memcpy(&out, table, 16);
    return out;
  }
  SLUICE_INLINE Codes lookup(const Codes& table, const Codes& nibbles) {
    uint8_t levels[16], codes[64];
    std::memcpy(levels, &table, 16);
    std::memcpy(codes, &nibbles, 64);
    for (uint8_t& code : codes) code = levels[code];
    return load_line(codes);
  }

  SLUICE_INLINE Ints zero() { return Ints{}; }
  // In 16 bits: a code of at most 7 bits and sign times a digit in +-127, two
  // of them added, fits.
  template <bool kSigned>
  SLUICE_INLINE void add_products(Ints& sums, const Codes& codes, const uint8_t* activation) {
    int8_t a[4];
    std::memcpy(a, activation, 4);
    const auto pair = [](int8_t low, int8_t high) {
      return static_cast<int32_t>(static_cast<uint16_t>(low) | uint32_t{static_cast<uint16_t>(high)}
                                                                   << 16);
    };
    const auto even_digits = (Halves16)(Ints16{} + pair(a[0], a[2]));
    const auto odd_digits = (Halves16)(Ints16{} + pair(a[1], a[3]));
    for (int i = 0; i < 4; ++i) {
      const auto words = (Halves16)codes.v[i];
      const Halves16 even = kSigned ? (Halves16)((UnsignedHalves16)words << 8) >> 8 : words & 255;
      const Halves16 odd = kSigned ? words >> 8 : (Halves16)((UnsignedHalves16)words >> 8);
      const auto products = (UnsignedInts16)(even * even_digits + odd * odd_digits);
      sums.v[i] += (Ints16)(products << 16) >> 16;
      sums.v[i] += (Ints16)products >> 16;
    }
  }
  template <Product kProduct>
  SLUICE_INLINE void add_tile_products(Ints& sums, const Codes& codes, const uint8_t* activation) {
    add_products<kProduct == Product::kSigned>(sums, codes, activation);
  }
  template <bool kSigned>
  SLUICE_INLINE Ints widen(const Ints& sums) {
    return sums;
  }
  SLUICE_INLINE Ints add_ints(Ints a, const Ints& b) {
    for (int i = 0; i < 4; ++i) a.v[i] += b.v[i];
    return a;
  }
  SLUICE_INLINE Ints join_digits(Ints high, const Ints& low) {
    for (int i = 0; i < 4; ++i) high.v[i] = high.v[i] * 128 + low.v[i];
    return high;
  }
  template <int kShift>
  SLUICE_INLINE Ints broadcast_shifted(const uint8_t* value) {
    Ints out{};
    for (Ints16& v : out.v) v += read<int32_t>(value) >> kShift;
    return out;
  }

  SLUICE_INLINE Floats to_float(const Ints& values) {
    Floats out;
    for (int i = 0; i < 4; ++i) out.v[i] = __builtin_convertvector(values.v[i], Floats16);
    return out;
  }
  SLUICE_INLINE Floats broadcast(float value) {
    Floats out;
    for (Floats16& v : out.v) v = Floats16{value, value, value, value};
    return out;
  }
  SLUICE_INLINE Floats broadcast_load(const uint8_t* value) {
    return broadcast(read<float>(value));
  }
  SLUICE_INLINE Floats load(const float* values) { return read<Floats>(values); }
  SLUICE_INLINE void store(float* values, const Floats& lanes) { std::memcpy(values, &lanes, 64); }
  SLUICE_INLINE void store_unaligned(float* values, const Floats& lanes) {
    std::memcpy(values, &lanes, 64);
  }
  SLUICE_INLINE Floats add(Floats a, const Floats& b) {
    for (int i = 0; i < 4; ++i) a.v[i] += b.v[i];
    return a;
  }
  SLUICE_INLINE Floats multiply(Floats a, const Floats& b) {
    for (int i = 0; i < 4; ++i) a.v[i] *= b.v[i];
    return a;
  }
  // Two roundings: a fused product without the instruction is a library call.
  SLUICE_INLINE Floats fma(const Floats& a, const Floats& b, Floats c) {
    for (int i = 0; i < 4; ++i) c.v[i] += a.v[i] * b.v[i];
    return c;
  }
  // Adds the columns times an activation.
  SLUICE_INLINE void add_scaled(Floats (&sums)[1], const Floats (&columns)[1],
                                const float* activation) {
    sums[0] = fma(columns[0], broadcast(*activation), sums[0]);
  }
  SLUICE_INLINE Floats fnma(const Floats& a, const Floats& b, Floats c) {
    for (int i = 0; i < 4; ++i) c.v[i] -= a.v[i] * b.v[i];
    return c;
  }

  // Scales: a few per unit, so plain loops.
  template <typename Decode>
  SLUICE_INLINE Floats each(Decode decode) {
    float values[16];
    for (int i = 0; i < 16; ++i) values[i] = decode(i);
    return load(values);
  }
  SLUICE_INLINE float float_of(uint32_t bits) { return read<float>(&bits); }
  SLUICE_INLINE Floats from_u8(const uint8_t* bytes) {
    return each([=](int i) { return static_cast<float>(bytes[i]); });
  }
  SLUICE_INLINE Floats from_i8(const uint8_t* bytes) {
    return each([=](int i) { return static_cast<float>(static_cast<int8_t>(bytes[i])); });
  }
  // The half's bits placed as a float are its value times 2^-112, subnormals
  // included; infinities do not occur in weights (codec::check_codes).
  SLUICE_INLINE Floats from_f16(const uint8_t* halves) {
    return each([=](int i) {
      const uint32_t half = read<uint16_t>(halves + 2 * i);
      return float_of((half & 0x8000u) << 16 | (half & 0x7fffu) << 13) * 0x1p112f;
    });
  }
  SLUICE_INLINE Floats from_bf16(const uint8_t* halves) {
    return each([=](int i) { return float_of(uint32_t{read<uint16_t>(halves + 2 * i)} << 16); });
  }
  SLUICE_INLINE Floats from_f32(const uint8_t* floats) { return read<Floats>(floats); }
  SLUICE_INLINE Floats from_ue4m3(const uint8_t* codes) {
    return each([=](int i) { return float_of(uint32_t{codes[i]} << 20) * 0x1p120f; });
  }
  SLUICE_INLINE Floats from_e8m0(const uint8_t* codes) {
    return each(
        [=](int i) { return float_of(codes[i] == 0 ? 0x00400000u : uint32_t{codes[i]} << 23); });
  }

  SLUICE_INLINE void from_bf16_line(const uint8_t* line, Floats* columns) {
    const Codes pairs = load_line(line);
    for (int i = 0; i < 4; ++i) {
      const auto words = (UnsignedInts16)pairs.v[i];
      columns[0].v[i] = (Floats16)(words << 16);
      columns[1].v[i] = (Floats16)(words & 0xffff0000u);
    }
  }
  template <int kColumn>
  SLUICE_INLINE Floats from_bf16_column(const uint8_t* line) {
    Floats columns[2];
    from_bf16_line(line, columns);
    return columns[kColumn];
  }
  template <int kColumn>
  SLUICE_INLINE Floats from_e4m3_column(const uint8_t* line) {
    Floats columns[4];
    from_e4m3_line(line, columns);
    return columns[kColumn];
  }
  // Values times 2^-120 (the activations carry the inverse): sign to the top,
  // the other bits behind four zero bits of exponent.
  SLUICE_INLINE void from_e4m3_line(const uint8_t* line, Floats* columns) {
    const Codes quads = load_line(line);
    for (int i = 0; i < 4; ++i) {
      const auto words = (UnsignedInts16)quads.v[i];
      for (int b = 0; b < 4; ++b) {
        const UnsignedInts16 top = words << static_cast<uint32_t>(24 - 8 * b);
        columns[b].v[i] = (Floats16)((top & 0x80000000u) | ((top >> 4) & 0x07f00000u));
      }
    }
  }
};

}  // namespace
}  // namespace sluice::cpu
