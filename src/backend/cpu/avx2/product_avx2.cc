// Needs AVX2, FMA, F16C.
#include "backend/cpu/avx2/lanes-inl.h"

namespace sluice::cpu {
namespace {

using Lanes = Avx2Lanes;

}  // namespace
}  // namespace sluice::cpu

// After the lanes, which they are written over.
#include "backend/cpu/float_product-inl.h"
#include "backend/cpu/integer_product-inl.h"

namespace sluice::cpu::avx2 {

bool reads_words(const PackedView& weight, bool digit, int64_t rows) {
  return wants_words(weight, digit, rows);
}
void integer_product(const ProductCall& call) { run_integer_product(call); }
void float_product(const ProductCall& call) { run_float_product(call); }

}  // namespace sluice::cpu::avx2
