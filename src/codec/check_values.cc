// Rules and GG-17: values that no writer may produce.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "codec/bytes.h"
#include "codec/codec.h"
#include "codec/ggml.h"
#include "codec/ggml_fp4.h"
#include "codec/ggml_iq4.h"
#include "codec/ggml_k.h"
#include "codec/ggml_legacy.h"
#include "codec/integer.h"
#include "codec/scales.h"

namespace sluice::codec {
namespace {

using Use = TensorScale::Use;

Error violation(const std::string& name, std::string_view rule, std::string why) {
  return bad_input(
      name, fmt::format("rule {}: {}", rule, why),
      "The weight is damaged: compare the file's checksum and get it again, or ask its maker");
}

bool holds_e4m3_codes(Format format) {
  return format == Format::kFp8Block || format == Format::kFp8Channel ||
         format == Format::kFp8Tensor || format == Format::kMxfp8;
}

const uint8_t* code_bytes(const EncodedMatrix& m) {
  return reinterpret_cast<const uint8_t*>(m.codes.bytes.data());
}

// Whether every weight of the block under a scale is zero: the one case in which a float scale may
// be 0.
bool block_is_zero(const EncodedMatrix& m, int64_t scale_index) {
  const int64_t per_row = (m.columns + m.block_columns - 1) / m.block_columns;
  const int64_t row_begin = scale_index / per_row * m.block_rows,
                column_begin = scale_index % per_row * m.block_columns;
  const int64_t row_end = std::min(m.rows, row_begin + m.block_rows);
  const int64_t column_end = std::min(m.columns, column_begin + m.block_columns);
  const bool integers = !holds_e4m3_codes(m.format);
  std::vector<int8_t> unpacked(integers && m.packed ? static_cast<size_t>(m.columns) : 0);
  for (int64_t row = row_begin; row < row_end; ++row) {
    const uint8_t* codes = code_bytes(m) + row * m.columns;
    int zero = 0;
    if (!unpacked.empty()) {
      unpack_integer_row(code_bytes(m) + row * 4 * packed_words(m.columns, m.bits), m.columns,
                         m.bits, unpacked.data());
      codes = reinterpret_cast<const uint8_t*>(unpacked.data());
      if (!m.zero_points.empty()) zero = integer_zero_point(m, row, column_begin / m.block_columns);
    }
    for (int64_t k = column_begin; k < column_end; ++k) {
      const bool nothing =
          integers ? static_cast<int8_t>(codes[k]) == zero : (codes[k] & 0x7F) == 0;
      if (!nothing) return false;
    }
  }
  return true;
}

Status check_float_scales(const EncodedMatrix& m, const std::string& name) {
  const int64_t count = m.scales.rows * m.scales.columns;
  for (int64_t i = 0; i < count; ++i) {
    const float scale = scale_at(m.scales, i);
    const auto place = [&] {
      return fmt::format("scale [{}, {}] is {}", i / m.scales.columns, i % m.scales.columns, scale);
    };
    if (!std::isfinite(scale) || scale < 0) return violation(name, "Q-5", place());
    if (scale == 0 && !block_is_zero(m, i))
      return violation(name, "Q-5", place() + ", but its codes are not all 0");
  }
  return {};
}

// One pass over bytes that must not be `bad(byte)`.
template <typename Bad>
Status check_bytes(const EncodedMatrix& m, const std::string& name, std::string_view rule,
                   std::string_view meaning, Bad bad) {
  for (size_t i = 0; i < m.scales.bytes.size(); ++i) {
    const auto byte = static_cast<uint8_t>(m.scales.bytes[i]);
    if (!bad(byte)) continue;
    const auto columns = static_cast<size_t>(m.scales.columns);
    return violation(
        name, rule,
        fmt::format("scale [{}, {}] is 0x{:02X}, {}", i / columns, i % columns, byte, meaning));
  }
  return {};
}

Status check_block_scales(const EncodedMatrix& m, const std::string& name) {
  if (m.scales.empty()) return {};
  switch (m.scales.dtype) {
    case DType::kF8E4M3:
      return check_bytes(m, name, "Q-6", "but an E4M3 block scale has neither a sign nor NaN",
                         [](uint8_t byte) { return byte >= 0x7F; });
    case DType::kU8:
    case DType::kF8E8M0:
      return check_bytes(m, name, "Q-6", "which is NaN as E8M0",
                         [](uint8_t byte) { return byte == kE8m0Nan; });
    default:
      return check_float_scales(m, name);
  }
}

// A tensor scale that would carry the largest or the smallest weights out of F32, or that is
// none.
Status check_tensor_scale(const EncodedMatrix& m, const std::string& name) {
  if (m.tensor_scale.use == Use::kNone) return {};
  const float value = m.tensor_scale.value;
  if (!std::isfinite(value) || value <= 0)
    return violation(name, "Q-5", fmt::format("the tensor scale is {}", value));
  const float factor = m.tensor_scale.use == Use::kDivide ? 1.0f / value : value;
  if (!std::isnormal(factor) || !std::isfinite(kE4m3Max * kE2m1Max * factor)) {
    return violation(
        name, "Q-8",
        fmt::format("the tensor scale {} {} leaves the range of F32",
                    m.tensor_scale.use == Use::kDivide ? "(a divisor)" : "(a factor)", value));
  }
  return {};
}

// F16 bits: all exponent bits set.
bool half_is_finite(const uint8_t bytes[2]) { return (load_u16(bytes) & 0x7C00u) != 0x7C00u; }

// Whether the scales inside one block can be decoded to finite numbers.
bool scales_valid(const BlockQ4_0& b) { return half_is_finite(b.d); }
bool scales_valid(const BlockQ4_1& b) { return half_is_finite(b.d) && half_is_finite(b.m); }
bool scales_valid(const BlockQ5_0& b) { return half_is_finite(b.d); }
bool scales_valid(const BlockQ5_1& b) { return half_is_finite(b.d) && half_is_finite(b.m); }
bool scales_valid(const BlockQ8_0& b) { return half_is_finite(b.d); }
bool scales_valid(const BlockQ2_K& b) { return half_is_finite(b.d) && half_is_finite(b.dmin); }
bool scales_valid(const BlockQ3_K& b) { return half_is_finite(b.d); }
bool scales_valid(const BlockQ4_K& b) { return half_is_finite(b.d) && half_is_finite(b.dmin); }
bool scales_valid(const BlockQ5_K& b) { return half_is_finite(b.d) && half_is_finite(b.dmin); }
bool scales_valid(const BlockQ6_K& b) { return half_is_finite(b.d); }
bool scales_valid(const BlockIQ4_NL& b) { return half_is_finite(b.d); }
bool scales_valid(const BlockIQ4_XS& b) { return half_is_finite(b.d); }
bool scales_valid(const BlockGgmlMxfp4& b) { return b.e != kE8m0Nan; }
bool scales_valid(const BlockGgmlNvfp4& b) {
  return std::all_of(std::begin(b.d), std::end(b.d), [](uint8_t d) { return d <= kE4m3MaxCode; });
}

template <typename Block>
Status check_blocks(const EncodedMatrix& m, const std::string& name) {
  const auto* blocks = reinterpret_cast<const Block*>(m.codes.bytes.data());
  const size_t count = m.codes.bytes.size() / sizeof(Block);
  for (size_t i = 0; i < count; ++i) {
    if (scales_valid(blocks[i])) continue;
    const size_t per_row = count / static_cast<size_t>(m.rows);
    std::string bytes;
    for (size_t b = 0; b < sizeof(Block) && b < 4; ++b) {
      bytes += fmt::format(" {:02x}", static_cast<int>(m.codes.bytes[i * sizeof(Block) + b]));
    }
    return violation(
        name, "GG-17",
        fmt::format("block {} of row {} ({}, begins{}) has a scale that is not a number",
                    i % per_row, i / per_row, dtype_name(m.codes.dtype), bytes));
  }
  return {};
}

Status check_ggml(const EncodedMatrix& m, const std::string& name) {
  switch (m.codes.dtype) {
    case DType::kQ4_0:
      return check_blocks<BlockQ4_0>(m, name);
    case DType::kQ4_1:
      return check_blocks<BlockQ4_1>(m, name);
    case DType::kQ5_0:
      return check_blocks<BlockQ5_0>(m, name);
    case DType::kQ5_1:
      return check_blocks<BlockQ5_1>(m, name);
    case DType::kQ8_0:
      return check_blocks<BlockQ8_0>(m, name);
    case DType::kQ2_K:
      return check_blocks<BlockQ2_K>(m, name);
    case DType::kQ3_K:
      return check_blocks<BlockQ3_K>(m, name);
    case DType::kQ4_K:
      return check_blocks<BlockQ4_K>(m, name);
    case DType::kQ5_K:
      return check_blocks<BlockQ5_K>(m, name);
    case DType::kQ6_K:
      return check_blocks<BlockQ6_K>(m, name);
    case DType::kIQ4_NL:
      return check_blocks<BlockIQ4_NL>(m, name);
    case DType::kIQ4_XS:
      return check_blocks<BlockIQ4_XS>(m, name);
    case DType::kGgmlMXFP4:
      return check_blocks<BlockGgmlMxfp4>(m, name);
    case DType::kGgmlNVFP4:
      return check_blocks<BlockGgmlNvfp4>(m, name);
    default:
      return {};
  }
}

Status check_floats(const EncodedMatrix& m, const std::string& name) {
  for (int64_t i = 0; i < m.rows * m.columns; ++i) {
    const float value = scale_at(m.codes, i);
    if (std::isfinite(value)) continue;
    return violation(name, "GG-17",
                     fmt::format("value [{}, {}] is {}", i / m.columns, i % m.columns, value));
  }
  return {};
}

// Codes of fewer than 8 bits that lie one in a byte could hold what their bits cannot.
Status check_integers(const EncodedMatrix& m, const std::string& name) {
  if (m.packed || m.bits == 8) return {};
  const int least = -(1 << (m.bits - 1)), most = (1 << (m.bits - 1)) - 1;
  for (int64_t i = 0; i < m.rows * m.columns; ++i) {
    const int code = static_cast<int8_t>(code_bytes(m)[i]);
    if (code >= least && code <= most) continue;
    return violation(name, "Q-4",
                     fmt::format("code [{}, {}] is {}, outside {} to {} ({} bits)", i / m.columns,
                                 i % m.columns, code, least, most, m.bits));
  }
  return {};
}

}  // namespace

Status check_scales(const EncodedMatrix& matrix, const std::string& name) {
  SLUICE_TRY(check_tensor_scale(matrix, name));
  return check_block_scales(matrix, name);
}

int64_t count_nan_codes(const EncodedMatrix& matrix) {
  if (!holds_e4m3_codes(matrix.format)) return 0;
  int64_t count = 0;
  for (const std::byte code : matrix.codes.bytes) count += e4m3_is_nan(static_cast<uint8_t>(code));
  return count;
}

Status check_codes(const EncodedMatrix& matrix, const std::string& name, NanCodes nan) {
  switch (matrix.format) {
    case Format::kF32:
    case Format::kF16:
    case Format::kBF16:
      return check_floats(matrix, name);
    case Format::kInt4:
    case Format::kInt4A8:
    case Format::kInt8:
      return check_integers(matrix, name);
    default:
      break;
  }
  if (!holds_e4m3_codes(matrix.format)) return check_ggml(matrix, name);
  const int64_t found = nan == NanCodes::kZero ? 0 : count_nan_codes(matrix);
  if (found == 0) return {};
  const auto* first =
      std::find_if(code_bytes(matrix), code_bytes(matrix) + matrix.codes.bytes.size(), e4m3_is_nan);
  const int64_t at = first - code_bytes(matrix);
  Error error = violation(name, "Q-7",
                          fmt::format("{} codes are NaN, the first, 0x{:02X}, at [{}, {}]", found,
                                      *first, at / matrix.columns, at % matrix.columns));
  error.remedy += ". With --allow-nan they count as 0";
  return error;
}

}  // namespace sluice::codec
