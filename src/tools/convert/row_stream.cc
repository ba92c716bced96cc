#include "tools/convert/row_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <optional>
#include <vector>

#include "base/check.h"
#include "codec/codec.h"
#include "codec/encode.h"
#include "codec/number_formats.h"

namespace sluice::convert {
namespace {

constexpr int64_t kPieceValues = int64_t{1} << 18;

}  // namespace

double ErrorSum::relative() const {
  return squared_norm > 0 ? std::sqrt(squared_error / squared_norm) : 0.0;
}

Status for_each_slab(const RowSource& reader, ThreadPool& pool, int64_t grain,
                     const std::function<Status(int64_t, int64_t, std::span<const float>)>& work,
                     const std::function<Status(int64_t, int64_t)>& finish) {
  const int64_t rows = reader.rows(), columns = reader.columns();
  const auto in_grains = [&](int64_t values) {
    return std::max<int64_t>(1, values / (columns * grain)) * grain;
  };
  const int64_t piece = in_grains(kPieceValues);
  const int64_t slab = std::max(piece, in_grains(kSlabValues) / piece * piece);
  std::vector<float> values(static_cast<size_t>(std::min(rows, slab) * columns));
  std::mutex guard;
  std::optional<std::pair<int64_t, Error>> failure;  // the first by place, not by time
  for (int64_t first = 0; first < rows; first += slab) {
    const int64_t count = std::min(slab, rows - first);
    pool.for_range((count + piece - 1) / piece, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t at = i * piece, taken = std::min(piece, count - at);
        const auto part = std::span(values).subspan(static_cast<size_t>(at * columns),
                                                    static_cast<size_t>(taken * columns));
        reader.read(first + at, taken, part.data());
        Status status = work(first + at, taken, part);
        if (status.ok()) continue;
        const std::lock_guard lock(guard);
        if (!failure || failure->first > first + at)
          failure.emplace(first + at, std::move(status).error());
      }
    });
    if (failure) return std::move(failure->second);
    SLUICE_TRY(finish(first, count));
  }
  return {};
}

Status write_rows(const RowSource& reader, DType type, std::span<const float> importance,
                  ThreadPool& pool, const Sink& sink, ErrorSum& error) {
  const int64_t rows = reader.rows(), columns = reader.columns();
  const auto row_bytes = dtype_bytes(type, static_cast<uint64_t>(columns));
  if (!row_bytes) {
    return bad_input(reader.name(), fmt::format("{} columns are not whole blocks of {}", columns,
                                                dtype_name(type)));
  }
  const std::optional<Format> format = self_contained_format(type);
  SLUICE_CHECK(format.has_value(), "no encoder of rows to {}", dtype_name(type));
  const bool plain = dtype_info(type).block_elements == 1;
  std::vector<ErrorSum> sums(static_cast<size_t>(rows));
  std::vector<std::byte> encoded;
  int64_t slab_first = 0;
  const auto work = [&](int64_t first, int64_t count, std::span<const float> values) -> Status {
    const codec::WeightSource source{reader.name(), values, count, columns,
                                     codec::SourceType::kF32};
    Result<codec::OwnedMatrix> owned = plain ? codec::encode_floats(source, *format)
                                             : codec::encode_ggml(source, *format, importance);
    if (!owned.ok()) return std::move(owned).error();
    std::vector<float> decoded(static_cast<size_t>(columns));
    for (int64_t row = 0; row < count; ++row) {
      codec::decode_rows(owned->matrix, row, 1, decoded.data());
      ErrorSum& sum = sums[static_cast<size_t>(first + row)];
      for (size_t column = 0; column < decoded.size(); ++column) {
        const double value = values[static_cast<size_t>(row * columns) + column];
        const double difference = static_cast<double>(decoded[column]) - value;
        sum.squared_error += difference * difference;
        sum.squared_norm += value * value;
      }
    }
    const size_t place = static_cast<size_t>(first - slab_first) * static_cast<size_t>(*row_bytes);
    std::copy(owned->codes.begin(), owned->codes.end(),
              encoded.begin() + static_cast<std::ptrdiff_t>(place));
    return {};
  };
  const auto finish = [&](int64_t first, int64_t count) -> Status {
    slab_first = first + count;
    return sink(std::span(encoded).first(static_cast<size_t>(count) * *row_bytes));
  };
  encoded.resize(static_cast<size_t>(std::min(rows, kSlabValues / columns + 1)) * *row_bytes);
  SLUICE_TRY(for_each_slab(reader, pool, 1, work, finish));
  for (const ErrorSum& sum : sums) {
    error.squared_error += sum.squared_error;
    error.squared_norm += sum.squared_norm;
  }
  return {};
}

DType smallest_float(std::span<const float> values) {
  const bool kept = std::all_of(values.begin(), values.end(),
                                [](float value) { return codec::round_to_bf16(value) == value; });
  return kept ? DType::kBF16 : DType::kF32;
}

std::vector<float> read_whole(const RowSource& reader) {
  std::vector<float> values(static_cast<size_t>(reader.rows() * reader.columns()));
  reader.read(0, reader.rows(), values.data());
  return values;
}

}  // namespace sluice::convert
