// Device arrays and batches for tests of the operations.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ops/backend.h"

namespace sluice::ops::testing {

// Uniform values, a function of the seed alone on every machine.
std::vector<float> random_values(uint64_t seed, int64_t count, float low = -1.0f,
                                 float high = 1.0f);
uint64_t mix(uint64_t a, uint64_t b);  // a seed from two

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  int below(int bound);  // 0..bound-1

 private:
  uint64_t state_;
};

// A view with a buffer of its own. Rows lie `gap` elements apart; gaps and fresh elements hold a
// marker, so that an operation that writes beside its rows is seen.
class Array {
 public:
  Array(Backend& backend, int64_t rows, int64_t columns, int64_t gap = 3);
  Array(Backend& backend, int64_t rows, int64_t columns, std::span<const float> values,
        int64_t gap = 3);

  const View& view() const { return view_; }
  operator const View&() const { return view_; }  // NOLINT: implicit
  std::vector<float> get() const { return backend_->download(view_); }
  bool gaps_untouched() const;

 private:
  Backend* backend_;
  std::unique_ptr<DeviceBuffer> buffer_;
  View view_;
};

// One segment to be made.
struct Piece {
  Role role = Role::kAnswer;
  int32_t first_index = 0;
  std::vector<int32_t> tokens;  // one per row
  int32_t slot = 0;
  int32_t commit = 0;
  std::vector<int32_t> pages = {};         // of the whole sequence; not needed for GDN operations
  std::array<int32_t, 3> rope_shift = {};  // rotary position (t, h, w) minus index
};

// Answer pieces must come first, as in every batch.
Batch make_batch(std::span<const Piece> pieces);

// Page lists: `count` pages from `first` in steps of `step`.
std::vector<int32_t> page_list(int first, int count, int step = 1);

// A weight in BF16 or F32, with its bytes and its exact values.
struct Weight {
  Weight(Format format, int64_t rows, int64_t columns, uint64_t seed);

  EncodedMatrix encoded() const;
  std::unique_ptr<Matrix> load(Backend& backend, MatrixUse use) const;

  Format format;
  int64_t rows, columns;
  std::vector<std::byte> bytes;
  std::vector<float> values;
};

// Bits, so that -0 and NaN count.
std::vector<uint32_t> bits_of(std::span<const float> values);

}  // namespace sluice::ops::testing
