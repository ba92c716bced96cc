#include "tools/quantize/trial.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "base/check.h"
#include "codec/codec.h"
#include "codec/encode.h"
#include "codec/number_formats.h"
#include "tools/convert/row_stream.h"
#include "tools/quantize/scheme.h"

namespace sluice::quantize {
namespace {

constexpr int64_t kTileRows = 128, kSampleRows = 32;

std::vector<float> nvfp4_rows(std::span<const float> values, int64_t columns, Format format,
                              const TrialSettings& settings) {
  const int64_t group = block_columns(format);
  std::vector<float> out(values.size());
  std::vector<uint8_t> scales(static_cast<size_t>(columns / group)),
      codes(static_cast<size_t>(columns / 2));
  const auto width = static_cast<size_t>(columns);
  for (size_t at = 0; at < values.size(); at += width) {
    encode_nvfp4_row(values.subspan(at, width), settings.importance, group, settings.divisor,
                     settings.search, scales.data(), codes.data());
    for (size_t i = 0; i < width; ++i) {
      const uint8_t code = (codes[i / 2] >> (i % 2 == 0 ? 0 : 4)) & 15;
      const float factor =
          codec::kE4m3Values[scales[i / static_cast<size_t>(group)]] / settings.divisor;
      out[at + i] = codec::kE2m1Values[code] * factor;
    }
  }
  return out;
}

Result<codec::OwnedMatrix> encoded(const codec::WeightSource& source, const TrialFormat& format,
                                   const TrialSettings& settings) {
  if (const auto* type = std::get_if<DType>(&format)) {
    const auto own = self_contained_format(*type);
    SLUICE_CHECK(own.has_value(), "no encoder of rows to {}", dtype_name(*type));
    return dtype_info(*type).block_elements == 1
               ? codec::encode_floats(source, *own)
               : codec::encode_ggml(source, *own, settings.importance);
  }
  const Format own = std::get<Format>(format);
  if (own == Format::kBF16) return codec::encode_floats(source, own);
  codec::Fp8Options options;
  options.format = own;
  return codec::encode_fp8(source, options);
}

}  // namespace

std::string trial_name(const TrialFormat& format) {
  if (const auto* own = std::get_if<Format>(&format)) return std::string(format_name(*own));
  std::string name(dtype_name(std::get<DType>(format)));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

Result<std::vector<float>> trial_rows(std::span<const float> values, int64_t columns,
                                      const TrialFormat& format, const TrialSettings& settings,
                                      const std::string& name) {
  const auto* own = std::get_if<Format>(&format);
  if (own != nullptr && block_columns(*own) > 0) return nvfp4_rows(values, columns, *own, settings);
  const int64_t rows = static_cast<int64_t>(values.size()) / columns;
  const codec::WeightSource source{name, values, rows, columns, codec::SourceType::kF32};
  SLUICE_ASSIGN(const codec::OwnedMatrix owned, encoded(source, format, settings));
  std::vector<float> out(values.size());
  codec::decode_rows(owned.matrix, 0, rows, out.data());
  return out;
}

Result<double> trial_error(const convert::RowReader& reader, const TrialFormat& format,
                           const TrialSettings& settings) {
  const int64_t rows = reader.rows(), columns = reader.columns();
  double mean = 0;
  for (const float value : settings.importance) mean += static_cast<double>(value);
  mean /= static_cast<double>(std::max<size_t>(1, settings.importance.size()));
  double sum = 0;
  int64_t seen = 0;
  const auto* own = std::get_if<Format>(&format);
  const int64_t band = own != nullptr && *own == Format::kFp8Block ? kTileRows : kSampleRows;
  const int64_t middle = rows > band ? (rows / 2) / band * band : 0;
  for (const int64_t first : {int64_t{0}, middle}) {
    if (first == 0 && seen > 0) break;
    const int64_t count = std::min(band, rows - first);
    std::vector<float> values(static_cast<size_t>(count * columns));
    reader.read(first, count, values.data());
    SLUICE_ASSIGN(const auto after, trial_rows(values, columns, format, settings, reader.name()));
    for (size_t i = 0; i < values.size(); ++i) {
      const double difference = static_cast<double>(after[i]) - static_cast<double>(values[i]);
      const double weight =
          mean > 0
              ? static_cast<double>(settings.importance[i % static_cast<size_t>(columns)]) / mean
              : 1.0;
      sum += weight * difference * difference;
    }
    seen += count;
  }
  return sum * static_cast<double>(rows) / static_cast<double>(seen);
}

EncodedMatrix trial_shape(int64_t rows, int64_t columns) {
  EncodedMatrix matrix;
  matrix.format = Format::kBF16;
  matrix.rows = rows;
  matrix.columns = columns;
  matrix.codes = {{}, DType::kBF16, rows, columns};
  return matrix;
}

Result<std::unique_ptr<TrialMatrix>> trial_matrix(const convert::RowReader& reader,
                                                  const TrialFormat& format,
                                                  const TrialSettings& settings, ThreadPool& pool) {
  const int64_t columns = reader.columns();
  auto out = std::make_unique<TrialMatrix>();
  out->values.resize(static_cast<size_t>(reader.rows() * columns));
  const auto work = [&](int64_t first, int64_t, std::span<const float> values) -> Status {
    SLUICE_ASSIGN(const auto after, trial_rows(values, columns, format, settings, reader.name()));
    std::transform(after.begin(), after.end(),
                   out->values.begin() + static_cast<std::ptrdiff_t>(first * columns),
                   codec::f32_to_bf16);
    return {};
  };
  SLUICE_TRY(convert::for_each_piece(reader, pool, kTileRows, work));
  out->matrix = trial_shape(reader.rows(), columns);
  out->matrix.codes.bytes = std::as_bytes(std::span(out->values));
  return out;
}

Result<float> largest_magnitude(const convert::RowReader& reader, ThreadPool& pool) {
  std::vector<float> of_rows(static_cast<size_t>(reader.rows()));
  const auto work = [&](int64_t first, int64_t count, std::span<const float> values) -> Status {
    const auto columns = static_cast<size_t>(reader.columns());
    for (int64_t row = 0; row < count; ++row)
      of_rows[static_cast<size_t>(first + row)] =
          codec::amax_of(values.subspan(static_cast<size_t>(row) * columns, columns));
    return {};
  };
  SLUICE_TRY(convert::for_each_piece(reader, pool, 1, work));
  return codec::amax_of(of_rows);
}

}  // namespace sluice::quantize
