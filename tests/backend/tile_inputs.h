// Inputs for kernels called by themselves, and the kernels over the twin of the tile unit.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "backend/cpu/detect.h"
#include "backend/cpu/pieces.h"
#include "backend/cpu/prepare.h"
#include "backend/cpu/product.h"
#include "backend/cpu/tile_products.h"
#include "backend/matmul_matrices.h"

namespace sluice::test {

// Kernels over one set of lanes.
struct Lanes {
  cpu::InstructionSet set;
  cpu::ProductFunction tiles, plain;  // of integer codes
  cpu::ProductFunction float_tiles;
};

inline std::vector<Lanes> supported_lanes() {
  std::vector<Lanes> lanes = {{cpu::InstructionSet::kPortable, cpu::twin::integer_product_portable,
                               cpu::portable::integer_product, cpu::twin::float_product_portable}};
#if defined(__x86_64__)
  const auto sets = cpu::supported_instruction_sets();
  if (std::find(sets.begin(), sets.end(), cpu::InstructionSet::kAvx512Vnni) != sets.end()) {
    lanes.push_back({cpu::InstructionSet::kAvx512Vnni, cpu::twin::integer_product_avx512vnni,
                     cpu::avx512vnni::integer_product, cpu::twin::float_product_avx512vnni});
  }
#endif
  return lanes;
}

// Rows as kernels read them. Every seventh has outliers, every eleventh zeros.
class Inputs {
 public:
  Inputs(int64_t rows, int64_t columns, cpu::Prepared form, uint64_t seed)
      : rows_(rows), columns_(columns), form_(form), x_(static_cast<size_t>(rows * columns)) {
    Random random(seed);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t k = 0; k < columns; ++k) {
        float value = random.normal();
        if (row % 7 == 3 && random.next() % 97 == 0) value *= 1000;
        if (row % 11 == 9 && k >= 40) value = 0;
        x_[static_cast<size_t>(row * columns + k)] = value;
      }
    }
    prepare(rows);
  }

  // Goes on with the first `rows` rows.
  void prepare(int64_t rows) {
    const size_t bytes = cpu::prepared_bytes(form_, rows, columns_);
    memory_.assign(bytes + 64, std::byte{0});
    units_ = memory_.data();
    while (reinterpret_cast<uintptr_t>(units_) % 64 != 0) ++units_;
    factors_.assign(static_cast<size_t>(rows), 0.0f);
    rows_ = rows;
    cpu::prepare(form_, cpu::InstructionSet::kPortable, {x_.data(), rows, columns_, columns_},
                 units_, factors_.data(), pool_);
  }

  void fill(float value) {
    std::fill(x_.begin(), x_.end(), value);
    prepare(rows_);
  }
  void set(int64_t row, int64_t column, float value) {
    x_[static_cast<size_t>(row * columns_ + column)] = value;
    prepare(rows_);
  }

  const float* row(int64_t row) const { return x_.data() + row * columns_; }
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }

  // [rows, N], NaN where nothing was written.
  std::vector<float> times(const cpu::PackedView& weight, cpu::ProductFunction product,
                           int64_t first_group = 0, int64_t last_group = -1) const {
    std::vector<float> out(static_cast<size_t>(rows_ * weight.rows), std::nanf(""));
    cpu::ProductCall call;
    call.weight = &weight;
    call.activations = units_;
    call.row_factors = factors_.data();
    call.digit = form_ == cpu::Prepared::kDigit;
    call.rows = rows_;
    call.first_group = first_group;
    call.last_group = last_group < 0 ? weight.groups : last_group;
    call.out = out.data();
    call.stride = weight.rows;
    for (int64_t block = 0; block < cpu::row_blocks(rows_); ++block) {
      call.first_row = cpu::row_block_begin(rows_, block);
      call.last_row = cpu::row_block_begin(rows_, block + 1);
      product(call);
    }
    return out;
  }

 private:
  int64_t rows_, columns_;
  cpu::Prepared form_;
  std::vector<float> x_, factors_;
  std::vector<std::byte> memory_;
  std::byte* units_ = nullptr;
  ThreadPool pool_{1};
};

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace sluice::test
