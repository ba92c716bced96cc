// Loops in plain C++, for the portable class and for machines without loops of their own.
#include <array>
#include <cstring>

#include "tools/bench/machine_loops.h"

namespace sluice::tools {
namespace {

// The compiler must believe that the value is used.
template <typename T>
void use(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

void read(const std::byte* data, int64_t bytes) {
  std::array<uint64_t, 8> sums = {};
  for (int64_t at = 0; at < bytes; at += 64) {
    std::array<uint64_t, 8> words;
    std::memcpy(words.data(), data + at, sizeof words);
    for (size_t i = 0; i < words.size(); ++i) sums[i] += words[i];
  }
  use(sums);
}

void update(std::byte* data, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += 64) {
    std::array<uint64_t, 8> words;
    std::memcpy(words.data(), data + at, sizeof words);
    for (uint64_t& word : words) word ^= 1;
    std::memcpy(data + at, words.data(), sizeof words);
  }
}

// 12 vectors of 4: as many chains as hide the latency, and few enough for 16 registers.
constexpr size_t kSums = 48;

void fp32(int64_t turns) {
  std::array<float, kSums> sums = {};
  float factor = 0.5f, term = 1.0f;
  asm volatile("" : "+m"(factor), "+m"(term));
  for (int64_t turn = 0; turn < turns; ++turn) {
    for (float& sum : sums) sum = sum * factor + term;
  }
  use(sums);
}

}  // namespace

const MachineLoops& portable_loops() {
  static constexpr MachineLoops kLoops = {read, update, {fp32, kSums}, {}, {}};
  return kLoops;
}

}  // namespace sluice::tools
