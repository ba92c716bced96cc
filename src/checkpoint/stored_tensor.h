// One tensor of a container: what a reader hands out, and what a writer must know before the bytes
// come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace sluice::checkpoint {

// More in one file is an attack, not a model (rule ST-13; the same limit for GGUF).
inline constexpr size_t kMaxTensors = 200'000;

// `bytes` borrow the mapping of the file and may lie at any alignment: read them through memcpy.
struct StoredTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // outermost first, also for GGUF (whose ne is reversed here)
  std::span<const std::byte> bytes;
  int file = 0;  // index into Checkpoint::files()

  int64_t elements() const {  // 1 for rank 0; readers guarantee that it fits
    int64_t product = 1;
    for (const int64_t extent : shape) product *= extent;
    return product;
  }
};

// A tensor that a writer is going to receive.
struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // outermost first
};

}  // namespace sluice::checkpoint
