// What encoding has lost of a weight, row by row.
#pragma once

#include <span>

namespace sluice::convert {

// Squared error and squared norm of what has been encoded so far. Sums run along a row and then
// over the rows, in double precision, so that they do not depend on the number of threads.
struct ErrorSum {
  double squared_error = 0, squared_norm = 0;
  double relative() const;  // |Q(W) - W| / |W|; 0 for a zero matrix
};

// Adds a row's values to its norm.
void add_norm(std::span<const float> values, ErrorSum& sum);

// Adds rows of values, all of one length, and what they decode to, to the sum of each.
void add_errors(std::span<const float> values, std::span<const float> decoded,
                std::span<ErrorSum> sums);

// That of a whole weight, added to `total`.
void add_rows(std::span<const ErrorSum> sums, ErrorSum& total);

}  // namespace sluice::convert
