// Arithmetic as the demo model writes it in its thought: column by column from the right.
//
//   347+285        the task, both numbers padded to one length
//   7+5+0=2+10:2   digit + digit + carry = digit to write + what is carried : the result so far
//   4+8+1=3+10:32
//   3+2+1=6+0:632
//
// Subtraction borrows in the same form (4-8-0=6-10). A product has one step more in each column, so
// that it needs the table of products and that of sums, not one table of both:
//
//   347*6
//   7*6=42+0=42:2  digit * digit = product + carry = total : the result so far
//   4*6=24+4=28:82
//   3*6=18+2=20:2082
//
// Every token is a copy from a fixed distance or an entry of a small table: what four layers can
// learn, and people can follow: a line is a true equation, that of a product is read left to right.
// Writing only the sum of a column ("=12") is shorter, but then addition and subtraction would
// differ and the digit to copy would move; collecting the digits at the end asks for a reversal.
#pragma once

#include <cstdint>
#include <string>

namespace sluice::tools::corpus {

// Operations '+', '-' (left not below right) and '*' (right below 10); operands from 0 to 99,999.
int64_t compute(int64_t left, char operation, int64_t right);

// The lines above, without a newline at the end. A result is read without its leading zeros.
std::string columns(int64_t left, char operation, int64_t right);

// Which number is larger, digit by digit from the left: "347?352\n3=3\n4<5\n352". For equal numbers
// the last line is "equal".
std::string comparison(int64_t left, int64_t right);

}  // namespace sluice::tools::corpus
