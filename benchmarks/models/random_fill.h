// Random weights at the speed of memory: a pool of encoded pieces, drawn again and again in random
// order.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/result.h"
#include "tensor/dtype.h"

namespace sluice::benchmarks {

// xorshift64*: fast, and the same everywhere.
class Random {
 public:
  Random(uint64_t seed, std::string_view name);  // one independent stream per tensor
  uint64_t next();
  float uniform();  // [0, 1)
  float normal();   // mean 0, variance 1

 private:
  uint64_t state_;
};

// Encoded values of every dtype that the generators write. Encoding 16 GB one by one would take the
// K-quants' searches hours; a pool of 4,096 pieces of up to 256 values is encoded once per (dtype,
// width, spread), and tensors are put together from it. Two rows are equal with probability
// 4096^-(columns/256).
class RandomFill {
 public:
  explicit RandomFill(uint64_t seed) : seed_(seed) {}

  // Gives rows x columns normal values of this standard deviation to `sink` in large parts. F8_E4M3
  // codes are spread over the format's range instead: they have a scale of their own
  // (fp8_code_spread).
  using Sink = std::function<Status(std::span<const std::byte>)>;
  Status fill(std::string_view tensor, DType dtype, int64_t rows, int64_t columns, float deviation,
              const Sink& sink);

 private:
  struct Pool {
    size_t piece_bytes = 0;
    std::vector<std::byte> bytes;
  };
  const Pool& pool(DType dtype, int64_t width, float deviation);

  uint64_t seed_;
  std::map<std::tuple<DType, int64_t, float>, Pool> pools_;
};

// Standard deviation of the codes that fill() makes for F8_E4M3, in units of the scale: 448 lies
// at 4.5 of them.
inline constexpr float kFp8CodeSpread = 448.0f / 4.5f;

// `values` in a plain float dtype (F32, F16, BF16) or as E4M3 codes or ggml blocks.
std::vector<std::byte> encode(DType dtype, std::span<const float> values);

}  // namespace sluice::benchmarks
