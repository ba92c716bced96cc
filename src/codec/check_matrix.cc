// Rule Q-4: shapes, dtypes and sizes of a matrix's planes against its format.
#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>

#include "codec/codec.h"
#include "codec/fp8.h"
#include "codec/ggml.h"
#include "codec/integer.h"
#include "codec/mx.h"
#include "codec/nvfp4.h"

namespace sluice::codec {
namespace {

constexpr int64_t kMaxSide = int64_t{1}
                             << 40;  // keeps products with bits and block sizes inside 64 bits

using Use = TensorScale::Use;

// Collects what one matrix has to satisfy; every method returns the first violation.
class Checker {
 public:
  Checker(const EncodedMatrix& matrix, const std::string& name) : m_(matrix), name_(name) {}

  Status run() const {
    if (static_cast<int>(m_.format) >= kFormatCount) {
      return bad_input(name_,
                       fmt::format("rule Q-4: unknown format {}", static_cast<int>(m_.format)));
    }
    if (m_.rows < 1 || m_.columns < 1 || m_.rows > kMaxSide || m_.columns > kMaxSide) {
      return refuse(fmt::format("a weight of {} x {}", m_.rows, m_.columns));
    }
    switch (m_.format) {
      case Format::kF32:
        return floats(DType::kF32);
      case Format::kF16:
        return floats(DType::kF16);
      case Format::kBF16:
        return floats(DType::kBF16);
      case Format::kFp8Block:
        return fp8(kFp8Tile, kFp8Tile);
      case Format::kFp8Channel:
        return fp8(1, m_.columns);
      case Format::kFp8Tensor:
        return fp8(m_.rows, m_.columns);
      case Format::kNvfp4:
      case Format::kNvfp4A4:
      case Format::kNvfp4A8:
      case Format::kW4A8Nvfp4:
        return nvfp4();
      case Format::kInt4:
      case Format::kInt4A8:
      case Format::kInt8:
        return integers();
      case Format::kMxfp4:
        return mx(true);
      case Format::kMxfp8:
        return mx(false);
      default:
        return ggml(ggml_dtype(m_.format).value());
    }
  }

 private:
  Status refuse(std::string why) const {
    return bad_input(name_, fmt::format("rule Q-4 ({}): {}", format_name(m_.format), why),
                     "The file does not follow its format: get it again, or ask its maker");
  }

  Status plane(std::string_view what, const Plane& p, int64_t rows, int64_t columns,
               std::initializer_list<DType> dtypes) const {
    if (std::find(dtypes.begin(), dtypes.end(), p.dtype) == dtypes.end()) {
      std::string names;
      for (const DType d : dtypes)
        names += (names.empty() ? "" : " or ") + std::string(dtype_name(d));
      return refuse(fmt::format("{} are {}, expected {}", what, dtype_name(p.dtype), names));
    }
    if (p.rows != rows || p.columns != columns) {
      return refuse(
          fmt::format("{} have shape [{}, {}], expected [{}, {}] for a weight of [{}, {}]", what,
                      p.rows, p.columns, rows, columns, m_.rows, m_.columns));
    }
    // Rows begin at whole blocks, so a row must consist of them.
    uint64_t bytes = 0;
    const auto row_bytes = dtype_bytes(p.dtype, static_cast<uint64_t>(columns));
    if (!row_bytes || __builtin_mul_overflow(*row_bytes, static_cast<uint64_t>(rows), &bytes)) {
      return refuse(fmt::format("{} have rows of {} elements, not whole blocks of {}", what,
                                columns, dtype_info(p.dtype).block_elements));
    }
    if (p.bytes.size() != bytes) {
      return refuse(fmt::format("{} have {} bytes, expected {}", what, p.bytes.size(), bytes));
    }
    return {};
  }

  Status absent(std::string_view what, const Plane& p) const {
    if (p.empty()) return {};
    return refuse(fmt::format("there are {} ({} bytes), which this format does not have", what,
                              p.bytes.size()));
  }

  Status no_tensor_scale() const {
    if (m_.tensor_scale.use == Use::kNone) return {};
    return refuse(fmt::format("there is a tensor scale ({}), which this format does not have",
                              m_.tensor_scale.value));
  }

  Status extent(int64_t block_rows, int64_t block_columns) const {
    if (m_.block_rows == block_rows && m_.block_columns == block_columns) return {};
    return refuse(fmt::format("a scale covers {} x {} weights, expected {} x {}", m_.block_rows,
                              m_.block_columns, block_rows, block_columns));
  }

  Status whole_groups(int64_t width) const {
    if (m_.columns % width == 0) return {};
    return refuse(
        fmt::format("{} columns are not a multiple of the block width {}", m_.columns, width));
  }

  Status floats(DType dtype) const {
    SLUICE_TRY(plane("values", m_.codes, m_.rows, m_.columns, {dtype}));
    SLUICE_TRY(absent("scales", m_.scales));
    SLUICE_TRY(absent("zero points", m_.zero_points));
    return no_tensor_scale();
  }

  Status fp8(int64_t block_rows, int64_t block_columns) const {
    SLUICE_TRY(plane("codes", m_.codes, m_.rows, m_.columns, {DType::kF8E4M3}));
    SLUICE_TRY(extent(block_rows, block_columns));
    int64_t rows = (m_.rows + block_rows - 1) / block_rows;
    int64_t columns = (m_.columns + block_columns - 1) / block_columns;
    if (m_.format == Format::kFp8Channel && m_.scales.rows == 1)
      std::swap(rows, columns);  // ModelOpt's [N]
    SLUICE_TRY(plane("scales", m_.scales, rows, columns,
                     {DType::kBF16, DType::kF16, DType::kF32, DType::kF8E8M0, DType::kU8}));
    SLUICE_TRY(absent("zero points", m_.zero_points));
    return no_tensor_scale();
  }

  // Two codes a byte: U8 [N, K/2] as all writers store it, or F4 [N, K].
  Status nibbles() const {
    const int64_t columns = m_.codes.dtype == DType::kF4 ? m_.columns : m_.columns / 2;
    return plane("codes", m_.codes, m_.rows, columns, {DType::kU8, DType::kF4});
  }

  Status nvfp4() const {
    const int64_t group = m_.block_columns;
    const bool w4a8 = m_.format == Format::kW4A8Nvfp4 && group == kW4a8Group;
    SLUICE_TRY(extent(1, w4a8 ? kW4a8Group : kNvfp4Group));
    SLUICE_TRY(whole_groups(group));
    SLUICE_TRY(nibbles());
    SLUICE_TRY(plane("scales", m_.scales, m_.rows, m_.columns / group, {DType::kF8E4M3}));
    SLUICE_TRY(absent("zero points", m_.zero_points));
    if (m_.tensor_scale.use == Use::kNone) return refuse("there is no tensor scale");
    return {};
  }

  Status mx(bool four_bits) const {
    SLUICE_TRY(extent(1, kMxGroup));
    SLUICE_TRY(whole_groups(kMxGroup));
    SLUICE_TRY(four_bits ? nibbles()
                         : plane("codes", m_.codes, m_.rows, m_.columns, {DType::kF8E4M3}));
    SLUICE_TRY(
        plane("scales", m_.scales, m_.rows, m_.columns / kMxGroup, {DType::kU8, DType::kF8E8M0}));
    SLUICE_TRY(absent("zero points", m_.zero_points));
    return no_tensor_scale();
  }

  Status integers() const {
    const int least = m_.format == Format::kInt8 ? 8 : kMinIntegerBits;
    const int most = m_.format == Format::kInt8 ? 8 : 7;
    if (m_.bits < least || m_.bits > most) {
      return refuse(fmt::format("codes of {} bits, expected {} to {}", m_.bits, least, most));
    }
    SLUICE_TRY(m_.packed ? plane("codes", m_.codes, m_.rows, packed_words(m_.columns, m_.bits),
                                 {DType::kI32})
                         : plane("codes", m_.codes, m_.rows, m_.columns, {DType::kI8}));
    const bool per_tensor = m_.block_rows == m_.rows && m_.block_columns == m_.columns;
    if (!per_tensor) {
      if (m_.block_columns < 1 || m_.block_columns > m_.columns) return extent(1, m_.columns);
      SLUICE_TRY(extent(1, m_.block_columns));
    }
    SLUICE_TRY(whole_groups(m_.block_columns));
    const int64_t groups = m_.columns / m_.block_columns;
    SLUICE_TRY(plane("scales", m_.scales, per_tensor ? 1 : m_.rows, groups,
                     {DType::kBF16, DType::kF16, DType::kF32}));
    SLUICE_TRY(no_tensor_scale());
    if (m_.zero_points.empty()) return {};
    if (!m_.packed || per_tensor)
      return refuse("zero points with codes that are not packed, or with one scale");
    return plane("zero points", m_.zero_points, packed_words(m_.rows, m_.bits), groups,
                 {DType::kI32});
  }

  Status ggml(DType dtype) const {
    SLUICE_TRY(plane("blocks", m_.codes, m_.rows, m_.columns, {dtype}));
    SLUICE_TRY(absent("scales", m_.scales));
    SLUICE_TRY(absent("zero points", m_.zero_points));
    if (m_.format != Format::kGgmlNvfp4) return no_tensor_scale();
    if (m_.tensor_scale.use == Use::kDivide) return refuse("the tensor scale of a GGUF multiplies");
    return {};
  }

  const EncodedMatrix& m_;
  const std::string& name_;
};

}  // namespace

Status check_matrix(const EncodedMatrix& matrix, const std::string& name) {
  return Checker(matrix, name).run();
}

}  // namespace sluice::codec
