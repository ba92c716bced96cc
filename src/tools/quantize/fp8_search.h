// E4M3 with one scale per row or per tile: the scale stored in BF16 or F32, weights divided by what
// is stored (quantization-algorithms.md 2.1, 2.2), and a search for better row scales.
#pragma once

#include <cstdint>
#include <span>

#include "tensor/dtype.h"

namespace sluice::quantize {

// The plain scale of values whose largest magnitude is `amax`; that of a zero row.
float plain_fp8_scale(float amax, DType stored);

// Among scales up to twice the plain one, the one with the smallest squared error, rounded to
// `stored`. A scale moves which weights lie between two codes; over a whole row that evens out
// except for the largest ones.
float best_fp8_scale(std::span<const float> values, DType stored);

// Codes of `values`, and the sum of squared errors. Whole rows: fp8_rows.h.
double encode_fp8_values(std::span<const float> values, float scale, uint8_t* codes);

}  // namespace sluice::quantize
