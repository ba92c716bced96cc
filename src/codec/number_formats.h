// The small number formats that checkpoints store: BF16, F16, E4M3, E2M1, E8M0, one value at a
// time.
//
// Own conversions, round to nearest even throughout (spec/formats.md section 3): results must not
// depend on whether the CPU has F16C, nor on a framework's idea of saturation. Files that are
// compiled for a wider instruction set may use the constants here, not the functions
// (style.md 3.4).
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>

namespace sluice::codec {

// ---- BF16: the upper half of an F32.

inline float bf16_to_f32(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// Overflow rounds to infinity; NaN stays NaN and becomes quiet.
inline uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

// The nearest BF16 value, as F32: one step of the arithmetic of encoders that work in BF16.
inline float round_to_bf16(float value) { return bf16_to_f32(f32_to_bf16(value)); }

// ---- F16: IEEE half.

// Written with selects only, so that loops over it vectorize.
inline float f16_to_f32(uint16_t half) {
  const uint32_t magnitude = half & 0x7FFFu;
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t normal = (magnitude << 13) + (112u << 23);  // exponent bias 15 -> 127
  const uint32_t special = (magnitude << 13) | 0x7F800000u;  // infinity, NaN
  const uint32_t subnormal =
      std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f);
  const uint32_t finite = magnitude < 0x0400u ? subnormal : normal;
  return std::bit_cast<float>(sign | (magnitude >= 0x7C00u ? special : finite));
}

// |value| >= 65520 gives infinity (writers of `d` must reject it); NaN stays NaN.
inline uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) {
    return static_cast<uint16_t>(sign | 0x7E00u | ((magnitude >> 13) & 0x1FFu));
  }
  if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);  // 65520
  if (magnitude < 0x38800000u) {                                               // 2^-14
    // 0.5 has an ulp of 2^-24, the step of F16 subnormals: the addition does the rounding.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000u));
  }
  const uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u) - (112u << 23);
  return static_cast<uint16_t>(sign | (rounded >> 13));
}

inline float round_to_f16(float value) { return f16_to_f32(f32_to_f16(value)); }

// ---- E4M3 ("fn"): 1-4-3, bias 7, no infinity, NaN = 0x7F and 0xFF, largest 448.

inline constexpr float kE4m3Max = 448.0f;
inline constexpr float kE4m3MinSubnormal = 0x1p-9f;
inline constexpr uint8_t kE4m3MaxCode = 0x7E;

namespace detail {
constexpr float e4m3_value(unsigned code) {
  const unsigned exponent = (code >> 3) & 15u, mantissa = code & 7u;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
  float value = static_cast<float>(exponent == 0 ? mantissa : mantissa + 8) * 0x1p-9f;
  for (unsigned step = 1; step < exponent; ++step) value *= 2;
  return (code & 0x80u) != 0 ? -value : value;
}

constexpr std::array<float, 256> make_e4m3(bool nan_as_zero) {
  std::array<float, 256> values{};
  for (unsigned code = 0; code < 256; ++code) {
    const bool nan = (code & 0x7Fu) == 0x7Fu;
    values[code] = nan && nan_as_zero ? 0.0f : e4m3_value(code);
  }
  return values;
}

constexpr std::array<float, 256> make_ue4m3() {
  std::array<float, 256> values{};
  for (unsigned code = 0; code < 256; ++code) {
    const unsigned unsigned_code = code & 0x7Fu;
    values[code] = unsigned_code == 0x7Fu ? 0.0f : e4m3_value(unsigned_code);
  }
  return values;
}
}  // namespace detail

inline constexpr std::array<float, 256> kE4m3Values = detail::make_e4m3(false);
inline constexpr std::array<float, 256> kE4m3ValuesNanAsZero = detail::make_e4m3(true);

// Block scales of ggml's NVFP4, as its library decodes them: the sign bit is ignored and 0x7F
// counts as 0 (spec/formats-gguf.md 4.8).
inline constexpr std::array<float, 256> kUe4m3Values = detail::make_ue4m3();

inline bool e4m3_is_nan(uint8_t code) { return (code & 0x7Fu) == 0x7Fu; }

// Nearest even on the grid with its subnormals; |value| > 448 saturates to 448, unlike a plain
// framework cast, which gives NaN above 464. NaN gives 0x7F.
inline uint8_t f32_to_e4m3(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint8_t>((bits >> 24) & 0x80u);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return 0x7F;
  if (magnitude >= 0x43E00000u) return static_cast<uint8_t>(sign | kE4m3MaxCode);  // 448
  if (magnitude < 0x3C800000u) {                                                   // 2^-6
    // 2^14 has an ulp of 2^-9, the step of the subnormals.
    const float shifted = std::bit_cast<float>(magnitude) + 16384.0f;
    return static_cast<uint8_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x46800000u));
  }
  const uint32_t rounded = magnitude + 0x7FFFFu + ((magnitude >> 20) & 1u) - (120u << 23);
  return static_cast<uint8_t>(sign | (rounded >> 20));
}

// ---- E2M1: sign in bit 3, eight magnitudes.

inline constexpr float kE2m1Max = 6.0f;
inline constexpr std::array<float, 16> kE2m1Values = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,
                                                      4.0f,  6.0f,  -0.0f, -0.5f, -1.0f, -1.5f,
                                                      -2.0f, -3.0f, -4.0f, -6.0f};

// Twice the values, which are whole numbers: for integer kernels.
inline constexpr std::array<int8_t, 16> kE2m1Doubled = {0, 1,  2,  3,  4,  6,  8,  12,
                                                        0, -1, -2, -3, -4, -6, -8, -12};

// Nearest even, saturating to 6; the sign bit is copied, so -0 and small negatives give code 8. NaN
// gives 0 or 8.
inline uint8_t f32_to_e2m1(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const float a = std::bit_cast<float>(bits & 0x7FFFFFFFu);
  const int magnitude = (a > 0.25f) + (a >= 0.75f) + (a > 1.25f) + (a >= 1.75f) + (a > 2.5f) +
                        (a >= 3.5f) + (a > 5.0f);
  return static_cast<uint8_t>(magnitude | static_cast<int>((bits >> 28) & 8u));
}

// ---- E8M0: a power of two. 0 is 2^-127 (a subnormal F32), 255 is NaN.

inline constexpr uint8_t kE8m0Nan = 255;

inline float e8m0_to_f32(uint8_t code) {
  const uint32_t bits = code == 0          ? 0x00400000u
                        : code == kE8m0Nan ? 0x7FC00000u
                                           : static_cast<uint32_t>(code) << 23;
  return std::bit_cast<float>(bits);
}

// ---- Integers.

// Nearest integer, ties to even. The addition lets the F32 unit round, as the reference does; its
// result is undefined beyond 2^22, so larger values are cut to it first.
inline int round_to_int(float value) {
  constexpr float kLimit = 4194303.0f, kShift = 12582912.0f;  // 2^22 - 1; 1.5 * 2^23
  const float limited = value < -kLimit ? -kLimit : value < kLimit ? value : kLimit;
  return static_cast<int>(std::bit_cast<uint32_t>(limited + kShift) -
                          std::bit_cast<uint32_t>(kShift));
}

inline int round_to_int(float value, int least, int most) {
  const int rounded = round_to_int(value);
  return rounded < least ? least : rounded > most ? most : rounded;
}

}  // namespace sluice::codec
