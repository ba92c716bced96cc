#include "tools/quantize/compensated_rounding.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "codec/number_formats.h"
#include "tools/quantize/fp8_search.h"
#include "tools/quantize/tile_products.h"

namespace sluice::quantize {
namespace {

constexpr int64_t kStep = 128;  // columns whose errors reach the rest in one product
constexpr int64_t kMostGroup = 32;
constexpr int64_t kLanes = 16;  // candidates for a scale, side by side

// Columns [first, end) of a block's order, with the factor's square on its diagonal: its rows lie
// beside each other, and their columns count from `first`.
struct Step {
  int64_t first = 0, end = 0;
  std::array<std::array<float, kStep>, kStep> square{};

  Step(const CompensationFactor::Block& block, int64_t first_column)
      : first(first_column), end(std::min(first_column + kStep, block.size)) {
    for (int64_t k = first; k < end; ++k) {
      std::copy_n(block.upper.data() + k * block.size + first, end - first,
                  square[static_cast<size_t>(k - first)].begin());
    }
  }
};

// A row within a step, whose columns `k` count from the step's first. `carried` is (w - q) R of the
// columns so far.
struct RowState {
  const float* weights = nullptr;  // in the block's order
  float* carried = nullptr;
  int64_t width = 0;  // columns of the step
  double loss = 0;

  // The weight that, kept exactly, would bring column k of (w - q) R to zero.
  float target(const Step& step, size_t k) const {
    return weights[k] + carried[k] / step.square[k][k];
  }
  // Column k became `value`: returns its error and hands it on to the rest of the step.
  float settle(const Step& step, size_t k, float value) {
    const auto& factor = step.square[k];
    const float difference = weights[k] - value;
    const float left = carried[k] + difference * factor[k];
    loss += static_cast<double>(left) * static_cast<double>(left);
    for (size_t j = k + 1; j < static_cast<size_t>(width); ++j)
      carried[j] += difference * factor[j];
    return difference;
  }
};

// ---------------------------------------------- NVFP4

float group_factor(uint8_t scale, float divisor) { return codec::kE4m3Values[scale] / divisor; }

uint8_t e2m1_code(float value, float factor) {
  const uint8_t magnitude = codec::f32_to_e2m1(std::fabs(value) / factor);
  return static_cast<uint8_t>(magnitude | (value < 0 && magnitude != 0 ? 8 : 0));  // no minus zero
}

// Largest magnitude of the group's weights as they would be if no column of it were rounded: what
// earlier columns lost is made up for in full.
float current_amax(const RowState& row, const Step& step, size_t first, size_t group) {
  std::array<float, kMostGroup> carried;
  std::copy_n(row.carried + first, group, carried.begin());
  float amax = 0;
  for (size_t i = 0; i < group; ++i) {
    const auto& factor = step.square[first + i];
    const float change = carried[i] / factor[first + i];
    amax = std::max(amax, std::fabs(row.weights[first + i] + change));
    for (size_t j = i + 1; j < group; ++j) carried[j] -= change * factor[first + j];
  }
  return amax;
}

// The scale with the smallest loss of the group itself, when its columns are rounded one after
// another with it. All candidates at once, one to a lane.
uint8_t best_group_scale(const RowState& row, const Step& step, size_t first,
                         const Nvfp4Lattice& lattice) {
  const auto group = static_cast<size_t>(lattice.group);
  const float amax = current_amax(row, step, first, group);
  if (amax == 0) return kZeroGroupScale;
  const ScaleCandidates candidates = scale_candidates(amax, lattice.divisor, lattice.search, false);
  SLUICE_CHECK(candidates.count <= kLanes, "{} candidates", candidates.count);
  std::array<uint8_t, kLanes> scales;
  std::array<float, kLanes> factors, losses{};
  for (size_t lane = 0; lane < kLanes; ++lane) {
    const uint8_t scale = candidates.codes[lane < candidates.count ? lane : 0];
    scales[lane] = std::min(scale, lattice.largest_scale);
    factors[lane] = group_factor(scales[lane], lattice.divisor);
  }
  std::array<std::array<float, kLanes>, kMostGroup> carried;
  for (size_t i = 0; i < group; ++i) carried[i].fill(row.carried[first + i]);
  for (size_t i = 0; i < group; ++i) {
    const auto& factor = step.square[first + i];
    const float weight = row.weights[first + i], diagonal = factor[first + i];
    std::array<float, kLanes> difference;
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const float target = weight + carried[i][lane] / diagonal;
      const float value = nearest_e2m1(std::fabs(target) / factors[lane]) * factors[lane];
      difference[lane] = weight - std::copysign(value, target);
      const float left = carried[i][lane] + difference[lane] * diagonal;
      losses[lane] += left * left;
    }
    for (size_t j = i + 1; j < group; ++j) {
      for (size_t lane = 0; lane < kLanes; ++lane)
        carried[j][lane] += difference[lane] * factor[first + j];
    }
  }
  return scales[static_cast<size_t>(std::min_element(losses.begin(), losses.end()) -
                                    losses.begin())];
}

// How each lattice rounds: a row by itself, the value of what was chosen, and a row's part of a
// step. `errors` takes the step's errors, `stride` apart.
class Nvfp4Rounder {
 public:
  Nvfp4Rounder(const Nvfp4Lattice& lattice, int64_t columns)
      : lattice_(lattice), columns_(columns) {}
  int64_t code_bytes() const { return columns_ / 2; }
  int64_t scale_bytes() const { return columns_ / lattice_.group; }

  void plain(int64_t, std::span<const float> row, uint8_t* codes, uint8_t* scales) const {
    encode_nvfp4_row(row, lattice_.importance, lattice_.group, lattice_.divisor, lattice_.search,
                     scales, codes);
  }

  float value(int64_t, int64_t column, const uint8_t* codes, const uint8_t* scales) const {
    const uint8_t code = (codes[column / 2] >> (column % 2 == 0 ? 0 : 4)) & 15;
    return codec::kE2m1Values[code] *
           group_factor(scales[column / lattice_.group], lattice_.divisor);
  }

  // Groups stay together in the order, and a step holds whole ones.
  void round(int64_t, const CompensationFactor::Block& block, const Step& step, RowState& row,
             float* errors, int64_t stride, uint8_t* codes, uint8_t* scales) const {
    for (int64_t first = 0; first < row.width; first += lattice_.group) {
      const int64_t column = block.first + block.order[static_cast<size_t>(step.first + first)];
      uint8_t& scale = scales[column / lattice_.group];
      scale = best_group_scale(row, step, static_cast<size_t>(first), lattice_);
      const float factor = group_factor(scale, lattice_.divisor);
      for (int64_t i = 0; i < lattice_.group; ++i) {
        const auto k = static_cast<size_t>(first + i);
        const uint8_t code = e2m1_code(row.target(step, k), factor);
        uint8_t& pair = codes[(column + i) / 2];
        pair = static_cast<uint8_t>((column + i) % 2 == 0 ? (pair & 0xF0) | code
                                                          : (pair & 0x0F) | (code << 4));
        errors[(first + i) * stride] = row.settle(step, k, codec::kE2m1Values[code] * factor);
      }
    }
  }

 private:
  const Nvfp4Lattice& lattice_;
  int64_t columns_;
};

// ---------------------------------------------- FP8

class Fp8Rounder {
 public:
  Fp8Rounder(const Fp8Lattice& lattice, int64_t columns)
      : lattice_(lattice),
        columns_(columns),
        across_((columns + lattice.tile_columns - 1) / lattice.tile_columns) {}
  int64_t code_bytes() const { return columns_; }
  int64_t scale_bytes() const { return 0; }

  void plain(int64_t row, std::span<const float> values, uint8_t* codes, uint8_t*) const {
    for (int64_t first = 0; first < columns_; first += lattice_.tile_columns) {
      const int64_t taken = std::min(lattice_.tile_columns, columns_ - first);
      encode_fp8_values(values.subspan(static_cast<size_t>(first), static_cast<size_t>(taken)),
                        scale(row, first), codes + first);
    }
  }

  float value(int64_t row, int64_t column, const uint8_t* codes, const uint8_t*) const {
    return codec::kE4m3Values[codes[column]] * scale(row, column);
  }

  void round(int64_t number, const CompensationFactor::Block& block, const Step& step,
             RowState& row, float* errors, int64_t stride, uint8_t* codes, uint8_t*) const {
    for (int64_t k = 0; k < row.width; ++k) {
      const int64_t column = block.first + block.order[static_cast<size_t>(step.first + k)];
      const float by = scale(number, column);
      const uint8_t code = codec::f32_to_e4m3(row.target(step, static_cast<size_t>(k)) / by);
      codes[column] = code;
      errors[k * stride] = row.settle(step, static_cast<size_t>(k), codec::kE4m3Values[code] * by);
    }
  }

 private:
  float scale(int64_t row, int64_t column) const {
    return lattice_.scales[static_cast<size_t>(row / lattice_.tile_rows * across_ +
                                               column / lattice_.tile_columns)];
  }
  const Fp8Lattice& lattice_;
  int64_t columns_, across_;
};

// ---------------------------------------------- rows together

using Values = std::vector<float>;

// Adds |d R|^2 of each row's part in this block to `losses`. `d` is size x rows.
void add_losses(const CompensationFactor::Block& block, const Values& d, int64_t rows,
                std::span<double> losses) {
  Values products(static_cast<size_t>(rows * kStep));
  for (int64_t first = 0; first < block.size; first += kStep) {
    const int64_t end = std::min(first + kStep, block.size);
    std::fill(products.begin(), products.end(), 0.0f);
    add_products(end, d.data(), rows, block.upper.data() + first, block.size, rows, end - first,
                 products.data(), kStep);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t j = 0; j < end - first; ++j) {
        const auto product = static_cast<double>(products[static_cast<size_t>(row * kStep + j)]);
        losses[static_cast<size_t>(row)] += product * product;
      }
    }
  }
}

// `value(row, column)` of the block's columns in its order, turned: size x rows.
template <typename Value>
Values turned(const CompensationFactor::Block& block, int64_t rows, const Value& value) {
  Values out(static_cast<size_t>(block.size * rows));
  for (int64_t k = 0; k < block.size; ++k) {
    const int64_t column = block.first + block.order[static_cast<size_t>(k)];
    for (int64_t row = 0; row < rows; ++row)
      out[static_cast<size_t>(k * rows + row)] = value(row, column);
  }
  return out;
}

template <typename Rounder>
class RowPanel {
 public:
  RowPanel(const CompensationFactor& factor, const Rounder& rounder, int64_t first_row,
           std::span<const float> values, const RoundedRows& out)
      : factor_(factor),
        rounder_(rounder),
        first_row_(first_row),
        rows_(static_cast<int64_t>(values.size()) / factor.columns),
        values_(values),
        out_(out),
        codes_(static_cast<size_t>(rows_ * rounder.code_bytes())),
        scales_(static_cast<size_t>(rows_ * rounder.scale_bytes())) {}

  void round() {
    const auto count = static_cast<size_t>(rows_);
    for (int64_t row = 0; row < rows_; ++row)
      rounder_.plain(first_row_ + row, row_of(row), codes_at(row), scales_at(row));
    // Damped, as the loop sees them; what damping added is taken off again below.
    std::vector<double> output(count), plain(count), written(count);
    std::vector<double> output_damping(count), plain_damping(count), written_damping(count);
    std::vector<double> plain_error(count), written_error(count);
    for (const auto& block : factor_.blocks) {
      const auto weights = turned(block, rows_, [&](int64_t row, int64_t column) {
        return values_[static_cast<size_t>(row * factor_.columns + column)];
      });
      add_losses(block, weights, rows_, output);
      add_norms(weights, block.damping, output_damping, {});
      const auto lost = turned(block, rows_, [&](int64_t row, int64_t column) {
        return values_[static_cast<size_t>(row * factor_.columns + column)] -
               rounder_.value(first_row_ + row, column, codes_at(row), scales_at(row));
      });
      add_losses(block, lost, rows_, plain);
      add_norms(lost, block.damping, plain_damping, plain_error);
      add_norms(compensate(block, written), block.damping, written_damping, written_error);
    }
    for (size_t row = 0; row < count; ++row) {
      RowLoss& loss = out_.losses[row];
      const auto undamped = [](double damped, double damping) {
        return std::max(0.0, damped - damping);
      };
      loss.output = undamped(output[row], output_damping[row]);
      loss.plain = undamped(plain[row], plain_damping[row]);
      const bool better = written[row] < plain[row];
      loss.written = better ? undamped(written[row], written_damping[row]) : loss.plain;
      loss.squared_error = better ? written_error[row] : plain_error[row];
      if (better) take(row);
    }
  }

 private:
  std::span<const float> row_of(int64_t row) const {
    return values_.subspan(static_cast<size_t>(row * factor_.columns),
                           static_cast<size_t>(factor_.columns));
  }
  uint8_t* codes_at(int64_t row) const { return out_.codes.data() + row * rounder_.code_bytes(); }
  uint8_t* scales_at(int64_t row) const {
    return out_.scales.data() + row * rounder_.scale_bytes();
  }

  // Squared norms of the rows of `d`, times `factor` into `weighted`, as they are into `sums`.
  void add_norms(const Values& d, double factor, std::span<double> weighted,
                 std::span<double> sums) const {
    for (size_t i = 0; i < d.size(); ++i) {
      const auto value = static_cast<double>(d[i]);
      const size_t row = i % static_cast<size_t>(rows_);
      weighted[row] += factor * value * value;
      if (!sums.empty()) sums[row] += value * value;
    }
  }

  // Rounds the block's columns into codes_ and scales_; returns the errors, size x rows.
  Values compensate(const CompensationFactor::Block& block, std::span<double> losses) {
    Values weights(static_cast<size_t>(rows_ * block.size));
    for (int64_t row = 0; row < rows_; ++row) {
      const float* from = row_of(row).data() + block.first;
      float* to = weights.data() + row * block.size;
      for (const int32_t column : block.order) *to++ = from[column];
    }
    Values carried(weights.size()), errors(weights.size());
    for (int64_t first = 0; first < block.size; first += kStep) {
      const Step step(block, first);
      float* step_errors = errors.data() + first * rows_;
      for (int64_t row = 0; row < rows_; ++row) {
        RowState state{weights.data() + row * block.size + first,
                       carried.data() + row * block.size + first, step.end - first, 0};
        rounder_.round(first_row_ + row, block, step, state, step_errors + row, rows_,
                       codes_.data() + row * rounder_.code_bytes(),
                       scales_.data() + row * rounder_.scale_bytes());
        losses[static_cast<size_t>(row)] += state.loss;
      }
      if (step.end < block.size) {
        add_products(step.end - first, step_errors, rows_,
                     block.upper.data() + first * block.size + step.end, block.size, rows_,
                     block.size - step.end, carried.data() + step.end, block.size);
      }
    }
    return errors;
  }

  void take(size_t row) {
    const auto at = static_cast<int64_t>(row);
    std::memcpy(codes_at(at), codes_.data() + at * rounder_.code_bytes(),
                static_cast<size_t>(rounder_.code_bytes()));
    std::copy_n(scales_.data() + at * rounder_.scale_bytes(), rounder_.scale_bytes(),
                scales_at(at));
  }

  const CompensationFactor& factor_;
  const Rounder& rounder_;
  int64_t first_row_, rows_;
  std::span<const float> values_;
  const RoundedRows& out_;
  std::vector<uint8_t> codes_, scales_;
};

}  // namespace

void round_compensated(const CompensationFactor& factor, const Lattice& lattice, int64_t first_row,
                       std::span<const float> values, const RoundedRows& out) {
  if (const auto* nvfp4 = std::get_if<Nvfp4Lattice>(&lattice)) {
    SLUICE_CHECK(nvfp4->group <= kMostGroup && factor.columns % nvfp4->group == 0,
                 "{} columns in groups of {}", factor.columns, nvfp4->group);
    const Nvfp4Rounder rounder(*nvfp4, factor.columns);
    RowPanel(factor, rounder, first_row, values, out).round();
  } else {
    const Fp8Rounder rounder(std::get<Fp8Lattice>(lattice), factor.columns);
    RowPanel(factor, rounder, first_row, values, out).round();
  }
}

}  // namespace sluice::quantize
