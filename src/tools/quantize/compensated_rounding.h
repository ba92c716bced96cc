// Error-compensating rounding: the error of each column is made up for by those that follow, within
// the lattice of the format (quantization-algorithms.md 7.1).
#pragma once

#include <cstdint>
#include <span>
#include <variant>

#include "tools/quantize/compensation_factor.h"
#include "tools/quantize/nvfp4_search.h"

namespace sluice::quantize {

// Block scales are searched for each group once its columns are reached, on the weights as the
// earlier columns' errors have changed them.
struct Nvfp4Lattice {
  int64_t group = 16;
  float divisor = 1;
  ScaleSearch search = ScaleSearch::kSweep;
  std::span<const float> importance = {};  // of plain rounding's search, per column, or empty
  uint8_t largest_scale = 0x7E;            // W4A8: 448 / 6, so that code times scale fits E4M3
};

// Scales are given, row by row of tiles.
struct Fp8Lattice {
  int64_t tile_rows = 1, tile_columns = 1;
  std::span<const float> scales;
};

using Lattice = std::variant<Nvfp4Lattice, Fp8Lattice>;

// Squared norms of one row: of w - q, and over the calibration text of x w, of x (w - q) if every
// weight had been rounded by itself, and of x (w - q) as written.
struct RowLoss {
  double squared_error = 0;
  double output = 0, plain = 0, written = 0;
};

struct RoundedRows {
  std::span<uint8_t> codes;   // columns / 2 bytes a row (NVFP4, low nibble first) or columns (FP8)
  std::span<uint8_t> scales;  // NVFP4: columns / group a row
  std::span<RowLoss> losses;  // by row
};

// Rounds rows of `factor.columns` values, the first of which is row `first_row` of its matrix. A
// row that plain rounding serves better keeps that. Rows do not depend on each other; as many as
// the caller's caches hold share the reading of the factor.
void round_compensated(const CompensationFactor& factor, const Lattice& lattice, int64_t first_row,
                       std::span<const float> values, const RoundedRows& out);

}  // namespace sluice::quantize
