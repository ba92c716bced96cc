// compressed-tensors' min/max rule for integers. All arithmetic is in the dtype of the weights:
// with BF16 weights each step below is rounded to BF16. (The spec does not spell the rule out; it
// was found consistent with every scale, zero point and code of ct-w4afp8 and ct-w4a16-asym:
// tests/codec/encode_golden_test.cc.)
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "codec/encode_common.h"
#include "codec/integer.h"
#include "codec/number_formats.h"

namespace sluice::codec {
namespace {

struct GroupRule {
  DType dtype;
  float least, most;  // of the codes
  bool symmetric;

  float rounded(float value) const { return round_to(dtype, value); }
  float epsilon() const { return dtype == DType::kBF16 ? 0x1p-7f : 0x1p-23f; }
};

struct GroupScale {
  float scale, zero;
};

GroupScale scale_of(const GroupRule& rule, std::span<const float> x) {
  const auto [low_at, high_at] = std::minmax_element(x.begin(), x.end());
  const float low = std::min(*low_at, 0.0f), high = std::max(*high_at, 0.0f);
  const float range = rule.most - rule.least;
  float scale = rule.symmetric ? rule.rounded(std::max(-low, high) / (range / 2))
                               : rule.rounded(rule.rounded(high - low) / range);
  if (scale == 0) scale = rule.epsilon();
  if (rule.symmetric) return {scale, 0};
  const float zero = rule.rounded(rule.least - rule.rounded(low / scale));
  return {scale, static_cast<float>(round_to_int(std::clamp(zero, rule.least, rule.most)))};
}

int8_t code_of(const GroupRule& rule, float x, const GroupScale& group) {
  float quotient = rule.rounded(x / group.scale);
  if (!rule.symmetric) quotient = rule.rounded(quotient + group.zero);
  return static_cast<int8_t>(round_to_int(std::clamp(quotient, rule.least, rule.most)));
}

// Zero points lie packed down the rows: pack each group's column, then spread its words.
void store_zero_points(const std::vector<int8_t>& zeros, int64_t rows, int64_t groups, int bits,
                       OwnedMatrix& owned) {
  const int64_t words = packed_words(rows, bits);
  uint8_t* out =
      allocate_plane(owned.zero_points, owned.matrix.zero_points, DType::kI32, words, groups);
  std::vector<int8_t> column(static_cast<size_t>(rows));
  std::vector<uint8_t> packed(static_cast<size_t>(4 * words));
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t row = 0; row < rows; ++row)
      column[static_cast<size_t>(row)] = zeros[static_cast<size_t>(row * groups + g)];
    pack_integer_row(column.data(), rows, bits, packed.data());
    for (int64_t w = 0; w < words; ++w)
      std::copy_n(packed.data() + 4 * w, 4, out + 4 * (w * groups + g));
  }
}

}  // namespace

Result<OwnedMatrix> encode_integer(const WeightSource& source, const IntegerOptions& options) {
  SLUICE_TRY(check_source(source));
  const int bits = options.bits;
  SLUICE_CHECK(bits >= kMinIntegerBits && bits <= kMaxIntegerBits, "bits {}", bits);
  SLUICE_CHECK((options.format == Format::kInt8) == (bits == 8), "{} bits of {}", bits,
               format_name(options.format));
  SLUICE_CHECK(options.symmetric || options.packed, "zero points need packed codes");
  const int64_t rows = source.rows, columns = source.columns;
  const int64_t group = options.group == 0 ? columns : options.group, groups = columns / group;
  if (columns % group != 0) {
    return not_encodable(
        source, fmt::format("{} columns are not a multiple of the group {}", columns, group));
  }
  const GroupRule rule = {source.type == SourceType::kBf16 ? DType::kBF16 : DType::kF32,
                          static_cast<float>(-(1 << (bits - 1))),
                          static_cast<float>((1 << (bits - 1)) - 1), options.symmetric};
  OwnedMatrix owned = make_matrix(source, options.format, 1, group);
  owned.matrix.bits = bits;
  owned.matrix.packed = options.packed;
  const int64_t row_bytes = options.packed ? 4 * packed_words(columns, bits) : columns;
  uint8_t* out =
      options.packed
          ? allocate_plane(owned.codes, owned.matrix.codes, DType::kI32, rows, row_bytes / 4)
          : allocate_plane(owned.codes, owned.matrix.codes, DType::kI8, rows, columns);
  uint8_t* scales = allocate_plane(owned.scales, owned.matrix.scales, rule.dtype, rows, groups);
  std::vector<int8_t> codes(static_cast<size_t>(columns)),
      zeros(static_cast<size_t>(rows * groups));
  for (int64_t row = 0; row < rows; ++row, out += row_bytes) {
    for (int64_t g = 0; g < groups; ++g) {
      const auto x = source.values.subspan(static_cast<size_t>(row * columns + g * group),
                                           static_cast<size_t>(group));
      const GroupScale scale = scale_of(rule, x);
      store_scale(scales, rule.dtype, row * groups + g, scale.scale);
      zeros[static_cast<size_t>(row * groups + g)] = static_cast<int8_t>(scale.zero);
      for (size_t k = 0; k < x.size(); ++k)
        codes[static_cast<size_t>(g * group) + k] = code_of(rule, x[k], scale);
    }
    if (options.packed) {
      pack_integer_row(codes.data(), columns, bits, out);
    } else {
      std::copy(codes.begin(), codes.end(), reinterpret_cast<int8_t*>(out));
    }
  }
  if (!options.symmetric) store_zero_points(zeros, rows, groups, bits, owned);
  return owned;
}

}  // namespace sluice::codec
