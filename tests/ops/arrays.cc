#include "ops/arrays.h"

#include <bit>
#include <cstring>

#include "base/check.h"
#include "codec/number_formats.h"

namespace sluice::ops::testing {
namespace {

constexpr float kUntouched = -7.0e33f;

uint64_t next(uint64_t& state) {  // splitmix64
  uint64_t z = (state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

}  // namespace

uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t state = a * 0x2545F4914F6CDD1Du + b;
  return next(state);
}

std::vector<float> random_values(uint64_t seed, int64_t count, float low, float high) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    const double unit = static_cast<double>(next(seed) >> 11) * 0x1p-53;
    value = static_cast<float>(low + (double{high} - low) * unit);
  }
  return values;
}

int Random::below(int bound) {
  return static_cast<int>(next(state_) % static_cast<uint64_t>(bound));
}

Array::Array(Backend& backend, int64_t rows, int64_t columns, int64_t gap) : backend_(&backend) {
  const int64_t stride = columns + gap, size = gap + rows * stride;
  auto buffer = backend.allocate(static_cast<size_t>(size) * sizeof(float));
  SLUICE_CHECK(buffer.ok(), "{}", buffer.error().message());
  buffer_ = std::move(buffer).value();
  view_ = {buffer_.get(), gap, rows, columns, stride};
  const std::vector<float> marks(static_cast<size_t>(size), kUntouched);
  backend.upload({buffer_.get(), 0, 1, size, size}, marks);
}

Array::Array(Backend& backend, int64_t rows, int64_t columns, std::span<const float> values,
             int64_t gap)
    : Array(backend, rows, columns, gap) {
  backend.upload(view_, values);
}

bool Array::gaps_untouched() const {
  const int64_t size = view_.offset + view_.rows * view_.stride;
  const std::vector<float> all = backend_->download({buffer_.get(), 0, 1, size, size});
  for (int64_t i = 0; i < size; ++i) {
    const int64_t column = i < view_.offset ? -1 : (i - view_.offset) % view_.stride;
    const bool inside = column >= 0 && column < view_.columns;
    if (!inside && all[static_cast<size_t>(i)] != kUntouched) return false;
  }
  return true;
}

Batch make_batch(std::span<const Piece> pieces) {
  Batch batch;
  for (const Piece& piece : pieces) {
    Segment segment;
    segment.first_row = static_cast<int32_t>(batch.rows.size());
    segment.row_count = static_cast<int32_t>(piece.tokens.size());
    segment.first_index = piece.first_index;
    segment.slot = piece.slot;
    segment.commit = piece.commit;
    segment.role = piece.role;
    segment.first_page = static_cast<int32_t>(batch.pages.size());
    segment.page_count = static_cast<int32_t>(piece.pages.size());
    batch.pages.insert(batch.pages.end(), piece.pages.begin(), piece.pages.end());
    int32_t index = piece.first_index;
    for (const int32_t token : piece.tokens) {
      const auto& shift = piece.rope_shift;
      batch.rows.push_back({token,
                            static_cast<int32_t>(batch.segments.size()),
                            index,
                            {index + shift[0], index + shift[1], index + shift[2]}});
      ++index;
    }
    batch.segments.push_back(segment);
  }
  return batch;
}

std::vector<int32_t> page_list(int first, int count, int step) {
  std::vector<int32_t> pages;
  for (int i = 0; i < count; ++i) pages.push_back(first + i * step);
  return pages;
}

Weight::Weight(Format weight_format, int64_t weight_rows, int64_t weight_columns, uint64_t seed)
    : format(weight_format), rows(weight_rows), columns(weight_columns) {
  SLUICE_CHECK(format == Format::kF32 || format == Format::kBF16, "format {}", format_name(format));
  values = random_values(seed, rows * columns);
  const size_t width = format == Format::kF32 ? 4 : 2;
  bytes.resize(values.size() * width);
  for (size_t i = 0; i < values.size(); ++i) {
    if (format == Format::kF32) {
      std::memcpy(&bytes[i * width], &values[i], width);
    } else {
      const uint16_t bf16 = codec::f32_to_bf16(values[i]);
      values[i] = codec::bf16_to_f32(bf16);
      std::memcpy(&bytes[i * width], &bf16, width);
    }
  }
}

EncodedMatrix Weight::encoded() const {
  EncodedMatrix matrix;
  matrix.format = format;
  matrix.rows = rows;
  matrix.columns = columns;
  matrix.codes = {bytes, format == Format::kF32 ? DType::kF32 : DType::kBF16, rows, columns};
  return matrix;
}

std::unique_ptr<Matrix> Weight::load(Backend& backend, MatrixUse use) const {
  auto matrix = backend.load_matrix(encoded(), use);
  SLUICE_CHECK(matrix.ok(), "{}", matrix.error().message());
  return std::move(matrix).value();
}

std::vector<uint32_t> bits_of(std::span<const float> values) {
  std::vector<uint32_t> bits;
  bits.reserve(values.size());
  for (const float value : values) bits.push_back(std::bit_cast<uint32_t>(value));
  return bits;
}

}  // namespace sluice::ops::testing
