// Sixteen lanes in plain loops, which compilers vectorize for the baseline of any architecture.
// Included by the files of this folder only (see integer_product-inl.h).
#pragma once

#include <cstdint>
#include <cstring>

// Nothing lives in registers here: forced inlining and unrolling would only multiply the code.
#define SLUICE_INLINE static inline
#define SLUICE_UNROLL

namespace sluice::cpu {
namespace {

struct Codes {
  uint8_t v[64];
};
struct Ints {
  int32_t v[16];
};
struct Floats {
  float v[16];
};

struct Lanes {
  static constexpr int kPanelRows = 1;
  // Up to how many rows codes go from memory through registers into the product, without a panel.
  static constexpr int kDirectRows = 2;
  static constexpr int kFloatRows = 2;
  static constexpr int kSignedOffsetShift = -1;  // signed codes are multiplied as they are

  SLUICE_INLINE Codes load_line(const uint8_t* line) {
    Codes out;
    std::memcpy(out.v, line, 64);
    return out;
  }
  SLUICE_INLINE void store_line(uint8_t* line, const Codes& codes) {
    std::memcpy(line, codes.v, 64);
  }
  SLUICE_INLINE Codes signed_line(const uint8_t* line) { return load_line(line); }
  SLUICE_INLINE Codes and_mask(Codes codes, int mask) {
    for (uint8_t& v : codes.v) v = static_cast<uint8_t>(v & mask);
    return codes;
  }
  SLUICE_INLINE Codes or_bits(Codes a, const Codes& b) {
    for (int i = 0; i < 64; ++i) a.v[i] = static_cast<uint8_t>(a.v[i] | b.v[i]);
    return a;
  }
  template <int kBits>
  SLUICE_INLINE Codes shift_right(Codes codes) {
    return shift_right_by(codes, kBits);
  }
  template <int kBits>
  SLUICE_INLINE Codes shift_left(Codes codes) {
    for (uint8_t& v : codes.v) v = static_cast<uint8_t>(v << kBits);
    return codes;
  }
  SLUICE_INLINE Codes shift_right_by(Codes codes, int bits) {
    for (uint8_t& v : codes.v) v = static_cast<uint8_t>(v >> bits);
    return codes;
  }
  SLUICE_INLINE Codes load_table(const int8_t* table) {
    Codes out{};
    std::memcpy(out.v, table, 16);
    return out;
  }
  SLUICE_INLINE Codes lookup(const Codes& table, Codes nibbles) {
    for (uint8_t& v : nibbles.v) v = table.v[v];
    return nibbles;
  }

  SLUICE_INLINE Ints zero() { return Ints{}; }
  template <bool kSigned>
  SLUICE_INLINE Ints dot(Ints sums, const Codes& codes, const uint8_t* activation) {
    int8_t a[4];
    std::memcpy(a, activation, 4);
    for (int lane = 0; lane < 16; ++lane) {
      int32_t sum = sums.v[lane];
      for (int b = 0; b < 4; ++b) {
        const uint8_t code = codes.v[4 * lane + b];
        sum += (kSigned ? static_cast<int8_t>(code) : int32_t{code}) * a[b];
      }
      sums.v[lane] = sum;
    }
    return sums;
  }
  SLUICE_INLINE Ints join_digits(Ints high, const Ints& low) {
    for (int i = 0; i < 16; ++i) high.v[i] = high.v[i] * 128 + low.v[i];
    return high;
  }
  SLUICE_INLINE Ints subtract(Ints a, const Ints& b) {
    for (int i = 0; i < 16; ++i) a.v[i] -= b.v[i];
    return a;
  }
  template <int kShift>
  SLUICE_INLINE Ints shifted_broadcast(const uint8_t* value) {
    int32_t number;
    std::memcpy(&number, value, 4);
    Ints out;
    for (int32_t& v : out.v) v = number * (1 << kShift);
    return out;
  }

  SLUICE_INLINE Floats to_float(const Ints& values) {
    Floats out;
    for (int i = 0; i < 16; ++i) out.v[i] = static_cast<float>(values.v[i]);
    return out;
  }
  SLUICE_INLINE Floats broadcast_to_float(const uint8_t* value) {
    int32_t number;
    std::memcpy(&number, value, 4);
    return broadcast(static_cast<float>(number));
  }
  SLUICE_INLINE Floats broadcast(float value) {
    Floats out;
    for (float& v : out.v) v = value;
    return out;
  }
  SLUICE_INLINE Floats broadcast_load(const uint8_t* value) {
    float number;
    std::memcpy(&number, value, 4);
    return broadcast(number);
  }
  SLUICE_INLINE Floats load(const float* values) {
    Floats out;
    std::memcpy(out.v, values, 64);
    return out;
  }
  SLUICE_INLINE void store(float* values, const Floats& lanes) { std::memcpy(values, lanes.v, 64); }
  SLUICE_INLINE void store_unaligned(float* values, const Floats& lanes) {
    std::memcpy(values, lanes.v, 64);
  }
  SLUICE_INLINE Floats add(Floats a, const Floats& b) {
    for (int i = 0; i < 16; ++i) a.v[i] += b.v[i];
    return a;
  }
  SLUICE_INLINE Floats multiply(Floats a, const Floats& b) {
    for (int i = 0; i < 16; ++i) a.v[i] *= b.v[i];
    return a;
  }
  // Two roundings: a fused product without the instruction is a library call.
  SLUICE_INLINE Floats fma(const Floats& a, const Floats& b, Floats c) {
    for (int i = 0; i < 16; ++i) c.v[i] += a.v[i] * b.v[i];
    return c;
  }
  SLUICE_INLINE Floats fnma(const Floats& a, const Floats& b, Floats c) {
    for (int i = 0; i < 16; ++i) c.v[i] -= a.v[i] * b.v[i];
    return c;
  }

  SLUICE_INLINE float float_of(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
  }
  SLUICE_INLINE uint32_t word_at(const uint8_t* words, int i) {
    uint16_t word;
    std::memcpy(&word, words + 2 * i, 2);
    return word;
  }
  SLUICE_INLINE Floats from_u8(const uint8_t* bytes) {
    Floats out;
    for (int i = 0; i < 16; ++i) out.v[i] = static_cast<float>(bytes[i]);
    return out;
  }
  SLUICE_INLINE Floats from_i8(const uint8_t* bytes) {
    Floats out;
    for (int i = 0; i < 16; ++i) out.v[i] = static_cast<float>(static_cast<int8_t>(bytes[i]));
    return out;
  }
  // The half's bits placed as a float are its value times 2^-112, subnormals included; infinities
  // do not occur in weights (codec::check_scales).
  SLUICE_INLINE Floats from_f16(const uint8_t* halves) {
    Floats out;
    for (int i = 0; i < 16; ++i) {
      const uint32_t half = word_at(halves, i);
      out.v[i] = float_of((half & 0x8000u) << 16 | (half & 0x7fffu) << 13) * 0x1p112f;
    }
    return out;
  }
  SLUICE_INLINE Floats from_bf16(const uint8_t* halves) {
    Floats out;
    for (int i = 0; i < 16; ++i) out.v[i] = float_of(word_at(halves, i) << 16);
    return out;
  }
  SLUICE_INLINE Floats from_f32(const uint8_t* floats) {
    Floats out;
    std::memcpy(out.v, floats, 64);
    return out;
  }
  SLUICE_INLINE Floats from_ue4m3(const uint8_t* codes) {
    Floats out;
    for (int i = 0; i < 16; ++i) out.v[i] = float_of(uint32_t{codes[i]} << 20) * 0x1p120f;
    return out;
  }
  SLUICE_INLINE Floats from_e8m0(const uint8_t* codes) {
    Floats out;
    for (int i = 0; i < 16; ++i) {
      out.v[i] = float_of(codes[i] == 0 ? 0x00400000u : uint32_t{codes[i]} << 23);
    }
    return out;
  }

  SLUICE_INLINE void from_bf16_line(const uint8_t* line, Floats* columns) {
    for (int i = 0; i < 16; ++i) {
      columns[0].v[i] = float_of(word_at(line, 2 * i) << 16);
      columns[1].v[i] = float_of(word_at(line, 2 * i + 1) << 16);
    }
  }
  // Values times 2^-120 (the activations carry the inverse).
  SLUICE_INLINE void from_e4m3_line(const uint8_t* line, Floats* columns) {
    for (int b = 0; b < 4; ++b) {
      for (int i = 0; i < 16; ++i) {
        const uint32_t code = line[4 * i + b];
        columns[b].v[i] = float_of((code & 0x80u) << 24 | (code & 0x7fu) << 20);
      }
    }
  }
};

}  // namespace
}  // namespace sluice::cpu
