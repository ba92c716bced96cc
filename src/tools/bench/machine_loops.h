// The loops that a machine's limits are measured with, per instruction set. They hold the loads or
// the products and nothing else, in assembly where a compiler would spill or reorder them: a limit
// that is measured too low is no limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice::tools {

struct MachineLoops {
  // Bytes are a positive multiple of kGrain, data is aligned to 64.
  static constexpr int64_t kGrain = 1024;
  void (*read)(const std::byte* data, int64_t bytes) = nullptr;
  void (*update)(std::byte* data, int64_t bytes) = nullptr;  // reads and writes back

  // `turns` (at least 1) times so many products, each added to a sum.
  struct Products {
    void (*run)(int64_t turns) = nullptr;  // nullptr: the class has no such product
    int64_t per_turn = 0;
  };
  Products fp32, int16, int8;
};

// By the name of a class ("avx2", "avx512vnni", ...); the portable loops for any other name.
const MachineLoops& machine_loops(std::string_view instruction_set);
const MachineLoops& portable_loops();

}  // namespace sluice::tools
