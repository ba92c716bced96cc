#include "tools/convert/row_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
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

// Of values, unless a single block of rows is larger: as F32 they fit a core's own cache.
constexpr int64_t kPieceValues = int64_t{1} << 18;
// Bytes that are copied at once: the journal's hash leaves them in a cache for the file.
constexpr size_t kCopyBytes = size_t{1} << 20;

// The rows of a piece.
int64_t piece_rows(int64_t columns, int64_t grain) {
  return std::max<int64_t>(1, kPieceValues / (columns * grain)) * grain;
}

// Calls `make(piece, first, count, values)` on all members until no piece is left or one returns
// false. Pieces are taken in order, so that all before one that was taken are made.
using Make =
    std::function<bool(int64_t piece, int64_t first, int64_t count, std::span<const float> values)>;
void share_out(const RowSource& reader, ThreadPool& pool, int64_t piece, const Make& make) {
  const int64_t rows = reader.rows(), columns = reader.columns();
  std::atomic<int64_t> next = 0;
  std::atomic<bool> stop = false;
  pool.run([&](int, int) {
    std::vector<float> values;
    while (!stop.load()) {
      const int64_t number = next.fetch_add(1), first = number * piece;
      if (first >= rows) return;
      const int64_t count = std::min(piece, rows - first);
      values.resize(static_cast<size_t>(count * columns));
      reader.read(first, count, values.data());
      if (!make(number, first, count, values)) stop = true;
    }
  });
}

// Decodes a few rows at a time: they stay in the nearest cache.
void add_errors(std::span<const float> values, const EncodedMatrix& matrix,
                std::span<ErrorSum> sums) {
  constexpr size_t kRows = 4;
  const auto columns = static_cast<size_t>(matrix.columns);
  std::vector<float> decoded(kRows * columns);
  for (size_t row = 0; row < sums.size(); row += kRows) {
    const size_t count = std::min(kRows, sums.size() - row);
    codec::decode_rows(matrix, static_cast<int64_t>(row), static_cast<int64_t>(count),
                       decoded.data());
    convert::add_errors(values.subspan(row * columns, count * columns),
                        std::span(decoded).first(count * columns), sums.subspan(row, count));
  }
}

}  // namespace

size_t buffers_for(const ThreadPool& pool) {
  return std::max<size_t>(16, 4 * static_cast<size_t>(pool.size()));
}

Status for_each_piece(const RowSource& reader, ThreadPool& pool, int64_t grain,
                      const std::function<Status(int64_t, int64_t, std::span<const float>)>& work) {
  std::mutex guard;
  std::optional<std::pair<int64_t, Error>> failure;
  share_out(reader, pool, piece_rows(reader.columns(), grain),
            [&](int64_t, int64_t first, int64_t count, std::span<const float> values) {
              Status status = work(first, count, values);
              if (status.ok()) return true;
              const std::lock_guard lock(guard);
              if (!failure || failure->first > first)
                failure.emplace(first, std::move(status).error());
              return false;
            });
  return failure ? Status(std::move(failure->second)) : Status();
}

Status write_pieces(const RowSource& reader, ThreadPool& pool, int64_t grain, size_t row_bytes,
                    const Output& out,
                    const std::function<Status(int64_t, int64_t, std::span<const float>,
                                               std::span<std::byte>)>& work) {
  const int64_t rows = reader.rows(), piece = piece_rows(reader.columns(), grain);
  const uint64_t places = out.behind->reserve(static_cast<uint64_t>((rows + piece - 1) / piece));
  std::atomic<bool> failed = false;
  const auto make = [&](int64_t number, int64_t first, int64_t count,
                        std::span<const float> values) {
    if (out.ahead != nullptr)
      out.ahead->advance(static_cast<double>(count) / static_cast<double>(rows));
    const uint64_t place = places + static_cast<uint64_t>(number);
    const auto bytes = out.behind->begin(place, static_cast<size_t>(count) * row_bytes);
    Status status = work(first, count, values, bytes);
    if (status.ok()) {
      out.behind->end(place, out.sink);
      return true;
    }
    out.behind->fail(place, std::move(status).error());
    failed = true;
    return false;
  };
  share_out(reader, pool, piece, make);
  return failed ? out.behind->drain() : Status();
}

Status write_bytes(std::span<const std::byte> bytes, const Output& out) {
  const auto whole = static_cast<double>(std::max<size_t>(1, bytes.size()));
  do {
    const auto part = bytes.first(std::min(kCopyBytes, bytes.size()));
    bytes = bytes.subspan(part.size());
    if (out.ahead != nullptr) out.ahead->advance(static_cast<double>(part.size()) / whole);
    SLUICE_TRY(out.behind->add([part, sink = out.sink] { return sink(part); }));
  } while (!bytes.empty());
  return {};
}

Status write_copy(std::span<const std::byte> bytes, const Output& out) {
  do {
    const auto part = bytes.first(std::min(kCopyBytes, bytes.size()));
    bytes = bytes.subspan(part.size());
    const uint64_t place = out.behind->reserve(1);
    std::copy(part.begin(), part.end(), out.behind->begin(place, part.size()).begin());
    out.behind->end(place, out.sink);
  } while (!bytes.empty());
  return {};
}

Status write_rows(const RowSource& reader, DType type, std::span<const float> importance,
                  ThreadPool& pool, const Output& out, ErrorSum& error) {
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
  const auto work = [&](int64_t first, int64_t count, std::span<const float> values,
                        std::span<std::byte> bytes) -> Status {
    const codec::WeightSource source{reader.name(), values, count, columns,
                                     codec::SourceType::kF32};
    Result<codec::OwnedMatrix> owned = plain ? codec::encode_floats(source, *format)
                                             : codec::encode_ggml(source, *format, importance);
    if (!owned.ok()) return std::move(owned).error();
    add_errors(values, owned->matrix,
               std::span(sums).subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
    std::copy(owned->codes.begin(), owned->codes.end(), bytes.begin());
    return {};
  };
  SLUICE_TRY(write_pieces(reader, pool, 1, *row_bytes, out, work));
  add_rows(sums, error);
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
