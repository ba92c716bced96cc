#include "models/random_fill.h"

#include <cmath>
#include <cstring>
#include <numeric>

#include "base/check.h"
#include "codec/ggml_encode.h"
#include "codec/number_formats.h"

namespace sluice::benchmarks {
namespace {

constexpr size_t kPieces = 4096;       // a power of two: drawn by the low bits
constexpr int64_t kWidestPiece = 256;  // values
constexpr size_t kBufferBytes = 8u << 20;

template <typename Stored, typename Convert>
std::vector<std::byte> converted(std::span<const float> values, Convert convert) {
  std::vector<std::byte> bytes(values.size() * sizeof(Stored));
  for (size_t i = 0; i < values.size(); ++i) {
    const Stored stored = convert(values[i]);
    std::memcpy(bytes.data() + i * sizeof stored, &stored, sizeof stored);
  }
  return bytes;
}

}  // namespace

Random::Random(uint64_t seed, std::string_view name) : state_(seed ^ 0xcbf29ce484222325ull) {
  for (const char c : name)
    state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;  // FNV-1a
  if (state_ == 0) state_ = 1;
  for (int i = 0; i < 8; ++i) next();
}

uint64_t Random::next() {
  state_ ^= state_ >> 12;
  state_ ^= state_ << 25;
  state_ ^= state_ >> 27;
  return state_ * 0x2545f4914f6cdd1dull;
}

float Random::uniform() { return static_cast<float>(next() >> 40) * 0x1p-24f; }

float Random::normal() {
  // Sum of twelve uniforms: bounded by 6, and free of library functions that differ between
  // machines.
  float sum = 0;
  for (int i = 0; i < 12; ++i) sum += uniform();
  return sum - 6.0f;
}

std::vector<std::byte> encode(DType dtype, std::span<const float> values) {
  switch (dtype) {
    case DType::kF32:
      return converted<float>(values, [](float value) { return value; });
    case DType::kF16:
      return converted<uint16_t>(values, codec::f32_to_f16);
    case DType::kBF16:
      return converted<uint16_t>(values, codec::f32_to_bf16);
    case DType::kF8E4M3:
      return converted<uint8_t>(values, codec::f32_to_e4m3);
    default:
      break;
  }
  std::vector<std::byte> bytes(*dtype_bytes(dtype, values.size()));
  codec::encode_ggml_row(dtype, values, {}, bytes.data());
  return bytes;
}

const RandomFill::Pool& RandomFill::pool(DType dtype, int64_t width, float deviation) {
  Pool& pool = pools_[{dtype, width, deviation}];
  if (!pool.bytes.empty()) return pool;
  Random random(seed_, dtype_name(dtype));
  std::vector<float> values(kPieces * static_cast<size_t>(width));
  for (float& value : values) value = random.normal() * deviation;
  pool.bytes = encode(dtype, values);
  pool.piece_bytes = pool.bytes.size() / kPieces;
  return pool;
}

Status RandomFill::fill(std::string_view tensor, DType dtype, int64_t rows, int64_t columns,
                        float deviation, const Sink& sink) {
  const int64_t width = std::gcd(columns, kWidestPiece);
  SLUICE_CHECK(width % dtype_info(dtype).block_elements == 0, "{} columns of {}", columns,
               dtype_name(dtype));
  if (dtype == DType::kF8E4M3) deviation = kFp8CodeSpread;
  const Pool& from = pool(dtype, width, deviation);
  Random random(seed_, tensor);
  std::vector<std::byte> buffer;
  buffer.reserve(kBufferBytes + from.piece_bytes);
  for (int64_t piece = rows * columns / width; piece > 0; --piece) {
    const size_t drawn = random.next() >> 32 & (kPieces - 1);
    const std::byte* begin = from.bytes.data() + drawn * from.piece_bytes;
    buffer.insert(buffer.end(), begin, begin + from.piece_bytes);
    if (buffer.size() < kBufferBytes && piece > 1) continue;
    SLUICE_TRY(sink(buffer));
    buffer.clear();
  }
  return {};
}

}  // namespace sluice::benchmarks
