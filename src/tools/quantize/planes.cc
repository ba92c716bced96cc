#include "tools/quantize/planes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "base/check.h"
#include "codec/encode.h"
#include "codec/number_formats.h"
#include "tools/convert/vision_tower.h"
#include "tools/quantize/fp8_search.h"
#include "tools/quantize/importance.h"

namespace sluice::quantize {

using convert::Convention;
using convert::ErrorSum;
using convert::Output;
using convert::RowReader;
using convert::Source;
using convert::SourceWeight;

namespace {

using Bytes = std::vector<std::byte>;

// 72, the largest E4M3 scale that keeps a code times its scale within E4M3
// (formats-safetensors.md 3.11).
constexpr uint8_t kLargestW4A8Scale = 0x69;

bool is_fp8(Format format) { return format == Format::kFp8Block || format == Format::kFp8Channel; }

Status check_finite(std::span<const float> values, const RowReader& reader, int64_t first) {
  const size_t bad = codec::first_not_finite(values);
  if (bad == values.size()) return {};
  const auto at = static_cast<int64_t>(bad);
  return bad_input(reader.name(),
                   fmt::format("value [{}, {}] is {}", first + at / reader.columns(),
                               at % reader.columns(), values[bad]),
                   "Only finite weights can be quantized: check the source checkpoint");
}

void store(Bytes& bytes, size_t index, DType dtype, float value) {
  if (dtype == DType::kBF16) {
    const uint16_t bits = codec::f32_to_bf16(value);
    std::memcpy(bytes.data() + 2 * index, &bits, sizeof bits);
  } else {
    std::memcpy(bytes.data() + 4 * index, &value, sizeof value);
  }
}

float load(const Bytes& bytes, size_t index, DType dtype) {
  if (dtype == DType::kBF16) {
    uint16_t bits = 0;
    std::memcpy(&bits, bytes.data() + 2 * index, sizeof bits);
    return codec::bf16_to_f32(bits);
  }
  float value = 0;
  std::memcpy(&value, bytes.data() + 4 * index, sizeof value);
  return value;
}

Status write_float(float value, const Output& out) {
  return convert::write_copy(std::as_bytes(std::span(&value, 1)), out);
}

std::span<uint8_t> as_codes(std::span<std::byte> bytes) {
  return {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()};
}

}  // namespace

Planes::Planes(const Source& source, const SafetensorsRequest& request, const SafetensorsPlan& plan,
               ThreadPool& pool)
    : source_(source), request_(request), pool_(pool) {
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.kind == PlaneKind::kScales) scale_of_[tensor.weight] = &tensor;
    if (tensor.kind == PlaneKind::kCodes) codes_of_[tensor.weight] = &tensor;
  }
}

void Planes::kept(const PlannedTensor& tensor, const ErrorSum& error,
                  const std::optional<OutputError>& output_error) {
  if (has_error(tensor)) errors_[tensor.weight] = error;
  if (output_error) output_errors_[tensor.weight] = *output_error;
  written(tensor);
}

// Scales are needed until both planes are written.
void Planes::written(const PlannedTensor& tensor) {
  const bool pair = tensor.kind == PlaneKind::kCodes || tensor.kind == PlaneKind::kScales;
  if (pair && !half_written_.insert(tensor.weight).second) scales_.erase(tensor.weight);
}

std::optional<Planes::OutputError> Planes::output_error(const PlannedTensor& tensor) const {
  const auto found = output_errors_.find(tensor.weight);
  return found != output_errors_.end() ? std::optional(found->second) : std::nullopt;
}

Status Planes::write(const PlannedTensor& tensor, const Output& out) {
  switch (tensor.kind) {
    case PlaneKind::kVision:
      return write_vision(tensor, out);
    case PlaneKind::kCacheScale: {
      Bytes scale(static_cast<size_t>(dtype_info(tensor.spec.dtype).block_bytes));
      store(scale, 0, tensor.spec.dtype, tensor.cache_scale);
      return convert::write_copy(scale, out);
    }
    case PlaneKind::kTensorScale:
      return write_tensor_scale(tensor, out);
    case PlaneKind::kInputScale:
      return write_input_scale(tensor, out);
    case PlaneKind::kScales:
      return write_scales(tensor, out);
    default:
      break;
  }
  const RowReader reader(source_, *tensor.weight, Convention::kPublished);
  errors_[tensor.weight] = {};
  if (tensor.kind == PlaneKind::kPlain) {
    return convert::write_rows(reader, tensor.spec.dtype, {}, pool_, out, errors_[tensor.weight]);
  }
  return is_fp8(tensor.format) ? write_fp8_codes(reader, tensor, out)
                               : write_nvfp4_codes(reader, tensor, out);
}

Status Planes::write_vision(const PlannedTensor& tensor, const Output& out) {
  if (tensor.stored != nullptr) return convert::write_bytes(tensor.stored->bytes, out);
  const convert::TowerReader reader(*source_.mmproj, *tensor.tower, Convention::kPublished);
  ErrorSum ignored;  // copies of a tower have no line in the report
  return convert::write_rows(reader, tensor.spec.dtype, {}, pool_, out, ignored);
}

// An earlier run that ended between codes and scales has left the codes only. They stand beside
// each other in the plan, so that at most one matrix is read twice. NVFP4 finds scales and codes
// together; what would spare that is a file of scales that nobody else reads.
Status Planes::write_scales(const PlannedTensor& tensor, const Output& out) {
  if (!scales_.contains(tensor.weight)) {
    const RowReader reader(source_, *tensor.weight, Convention::kPublished);
    if (is_fp8(tensor.format)) {
      SLUICE_TRY(find_scales(reader, tensor));
    } else {
      const auto codes = codes_of_.find(tensor.weight);
      SLUICE_CHECK(codes != codes_of_.end(), "{} belongs to no codes", tensor.spec.name);
      const Output nowhere{out.behind, [](std::span<const std::byte>) { return Status(); }};
      SLUICE_TRY(write_nvfp4_codes(reader, *codes->second, nowhere));
    }
  }
  return convert::write_copy(scales_.at(tensor.weight), out);
}

// ---------------------------------------------- FP8

Fp8Parts Planes::parts_of(const RowReader& reader, const PlannedTensor& tensor) const {
  return {tensor.format, reader.columns(), scale_of_.at(tensor.weight)->spec.dtype,
          request_.search != ScaleSearch::kNone};
}

Status Planes::find_scales(const RowReader& reader, const PlannedTensor& tensor) {
  const Fp8Parts parts = parts_of(reader, tensor);
  const int64_t bytes = dtype_info(parts.stored).block_bytes;
  Bytes& scales = scales_[tensor.weight];
  scales.resize(static_cast<size_t>(parts.count(reader.rows()) * bytes));
  const auto work = [&](int64_t first, int64_t count, std::span<const float> values) -> Status {
    SLUICE_TRY(check_finite(values, reader, first));
    std::vector<float> found(static_cast<size_t>(parts.count(count)));
    find_fp8_scales(parts, values, found);
    const auto at = static_cast<size_t>(parts.count(first));
    for (size_t i = 0; i < found.size(); ++i) store(scales, at + i, parts.stored, found[i]);
    return {};
  };
  return convert::for_each_piece(reader, pool_, parts.height, work);
}

Status Planes::write_fp8_codes(const RowReader& reader, const PlannedTensor& tensor,
                               const Output& out) {
  const Fp8Parts parts = parts_of(reader, tensor);
  if (request_.compensation != nullptr) {
    SLUICE_TRY(find_scales(reader, tensor));
    const Bytes& scales = scales_.at(tensor.weight);
    std::vector<float> values(static_cast<size_t>(parts.count(reader.rows())));
    for (size_t i = 0; i < values.size(); ++i) values[i] = load(scales, i, parts.stored);
    return write_compensated(reader, tensor, Fp8Lattice{parts.height, parts.width, values}, {},
                             parts.columns, out);
  }
  Bytes& scales = scales_[tensor.weight];
  scales.resize(
      static_cast<size_t>(parts.count(reader.rows()) * dtype_info(parts.stored).block_bytes));
  const auto encode = [&](int64_t first, std::span<const float> values, uint8_t* codes,
                          std::span<ErrorSum> sums) -> Status {
    std::vector<float> found(static_cast<size_t>(parts.count(static_cast<int64_t>(sums.size()))));
    encode_fp8_rows(parts, values, found, codes, sums);
    // The norms have seen all values: another pass only to say which one is bad.
    if (!std::all_of(sums.begin(), sums.end(),
                     [](const ErrorSum& sum) { return std::isfinite(sum.squared_norm); }))
      return check_finite(values, reader, first);
    const auto at = static_cast<size_t>(parts.count(first));
    for (size_t i = 0; i < found.size(); ++i) store(scales, at + i, parts.stored, found[i]);
    return {};
  };
  return write_codes(reader, tensor, parts.height, parts.columns, encode, out);
}

// ---------------------------------------------- NVFP4

// One divisor for all modules that engines fuse.
Result<float> Planes::divisor_of(const PlannedTensor& tensor) {
  const auto fused = fused_with(tensor.module);
  const auto known = divisors_.find(fused.front());
  if (known != divisors_.end()) return known->second;
  float amax = 0;
  for (const std::string& module : fused) {
    const SourceWeight* weight = source_.find(module + ".weight");
    if (weight == nullptr) continue;
    const RowReader reader(source_, *weight, Convention::kPublished);
    std::vector<float> of_rows(static_cast<size_t>(reader.rows()));
    const auto work = [&](int64_t first, int64_t count, std::span<const float> values) -> Status {
      SLUICE_TRY(check_finite(values, reader, first));
      const auto columns = static_cast<size_t>(reader.columns());
      for (int64_t row = 0; row < count; ++row)
        of_rows[static_cast<size_t>(first + row)] =
            codec::amax_of(values.subspan(static_cast<size_t>(row) * columns, columns));
      return {};
    };
    SLUICE_TRY(convert::for_each_piece(reader, pool_, 1, work));
    amax = std::max(amax, codec::amax_of(of_rows));
  }
  const float divisor = power_of_two_divisor(amax, tensor.format == Format::kW4A8Nvfp4);
  divisors_[fused.front()] = divisor;
  return divisor;
}

Status Planes::write_tensor_scale(const PlannedTensor& tensor, const Output& out) {
  SLUICE_ASSIGN(const float divisor, divisor_of(tensor));
  return write_float(request_.layout == Layout::kModelOpt ? 1.0f / divisor : divisor, out);
}

// 2688 / amax for activations in NVFP4, 448 / amax in FP8; ModelOpt stores the reciprocal.
Status Planes::write_input_scale(const PlannedTensor& tensor, const Output& out) {
  float amax = 0;
  for (const std::string& module : fused_with(tensor.module))
    amax = std::max(amax, request_.ranges->find(module).value_or(0));
  const float most =
      tensor.format == Format::kW4A8Nvfp4 ? codec::kE4m3Max : codec::kE4m3Max * codec::kE2m1Max;
  return write_float(request_.layout == Layout::kModelOpt ? amax / most : most / amax, out);
}

Status Planes::write_nvfp4_codes(const RowReader& reader, const PlannedTensor& tensor,
                                 const Output& out) {
  SLUICE_ASSIGN(const float divisor, divisor_of(tensor));
  const int64_t columns = reader.columns(), group = block_columns(tensor.format);
  const std::vector<float> importance =
      in_published_order(tensor.importance, *tensor.weight, source_.binding.config);
  Bytes& scales = scales_[tensor.weight];
  scales.resize(static_cast<size_t>(reader.rows() * (columns / group)));
  if (request_.compensation != nullptr) {
    Nvfp4Lattice lattice{group, divisor, request_.search, importance};
    if (tensor.format == Format::kW4A8Nvfp4) lattice.largest_scale = kLargestW4A8Scale;
    return write_compensated(reader, tensor, lattice, as_codes(scales), columns / 2, out);
  }
  const auto encode_row = [&](int64_t row, std::span<const float> values, uint8_t* codes) {
    uint8_t* own = as_codes(scales).data() + row * (columns / group);
    encode_nvfp4_row(values, importance, group, divisor, request_.search, own, codes);
    double error = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const uint8_t code = (codes[i / 2] >> (i % 2 == 0 ? 0 : 4)) & 15;
      const float factor = codec::kE4m3Values[own[i / static_cast<size_t>(group)]] / divisor;
      const double difference =
          static_cast<double>(codec::kE2m1Values[code] * factor) - static_cast<double>(values[i]);
      error += difference * difference;
    }
    return error;
  };
  const auto encode = [&](int64_t first, std::span<const float> values, uint8_t* codes,
                          std::span<ErrorSum> sums) -> Status {
    SLUICE_TRY(check_finite(values, reader, first));
    const auto width = static_cast<size_t>(columns);
    for (size_t i = 0; i < sums.size(); ++i) {
      const auto row = values.subspan(i * width, width);
      sums[i].squared_error =
          encode_row(first + static_cast<int64_t>(i), row, codes + i * (width / 2));
      add_norm(row, sums[i]);
    }
    return {};
  };
  return write_codes(reader, tensor, 1, columns / 2, encode, out);
}

// ---------------------------------------------- compensated rounding of either

// Of the tensors from `kept` on, and of a matrix whose codes are kept without their scales.
Status Planes::expect_factors(std::span<const PlannedTensor* const> order, size_t kept) {
  std::vector<std::string> modules;
  std::set<const SourceWeight*> coded;
  for (size_t i = kept; i < order.size(); ++i) {
    const PlannedTensor& tensor = *order[i];
    const bool codes = tensor.kind == PlaneKind::kCodes;
    const bool codes_again = tensor.kind == PlaneKind::kScales && !is_fp8(tensor.format) &&
                             !coded.contains(tensor.weight);
    if (!codes && !codes_again) continue;
    modules.push_back(tensor.module);
    coded.insert(tensor.weight);
  }
  return request_.compensation->expect(modules);
}

// `scales`: all of the matrix, for formats whose search is part of the rounding; else empty.
Status Planes::write_compensated(const RowReader& reader, const PlannedTensor& tensor,
                                 const Lattice& lattice, std::span<uint8_t> scales,
                                 int64_t row_bytes, const Output& out) {
  SLUICE_ASSIGN(const auto factor, request_.compensation->factor(tensor.module, pool_));
  const auto rows = static_cast<size_t>(reader.rows());
  const auto columns = static_cast<size_t>(reader.columns());
  const size_t row_scales = scales.size() / rows;
  std::vector<RowLoss> losses(rows);
  const auto encode = [&](int64_t first, std::span<const float> values, uint8_t* codes,
                          std::span<ErrorSum> sums) -> Status {
    SLUICE_TRY(check_finite(values, reader, first));
    const auto at = static_cast<size_t>(first);
    const RoundedRows rounded{{codes, sums.size() * static_cast<size_t>(row_bytes)},
                              scales.subspan(at * row_scales, sums.size() * row_scales),
                              std::span(losses).subspan(at, sums.size())};
    round_compensated(*factor, lattice, first, values, rounded);
    for (size_t i = 0; i < sums.size(); ++i) {
      sums[i].squared_error = rounded.losses[i].squared_error;
      add_norm(values.subspan(i * columns, columns), sums[i]);
    }
    return {};
  };
  SLUICE_TRY(write_codes(reader, tensor, 1, row_bytes, encode, out));
  RowLoss sum;
  for (const RowLoss& loss : losses) {
    sum.output += loss.output;
    sum.plain += loss.plain;
    sum.written += loss.written;
  }
  output_errors_[tensor.weight] = {ErrorSum{sum.plain, sum.output}.relative(),
                                   ErrorSum{sum.written, sum.output}.relative()};
  return {};
}

// ---------------------------------------------- codes of either

Status Planes::write_codes(const RowReader& reader, const PlannedTensor& tensor, int64_t grain,
                           int64_t row_bytes, const EncodeRows& encode, const Output& out) {
  std::vector<ErrorSum> sums(static_cast<size_t>(reader.rows()));
  const auto work = [&](int64_t first, int64_t count, std::span<const float> values,
                        std::span<std::byte> bytes) -> Status {
    return encode(first, values, as_codes(bytes).data(),
                  std::span(sums).subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
  };
  SLUICE_TRY(
      convert::write_pieces(reader, pool_, grain, static_cast<size_t>(row_bytes), out, work));
  ErrorSum& error = errors_[tensor.weight];
  error = {};
  convert::add_rows(sums, error);
  return {};
}

}  // namespace sluice::quantize
