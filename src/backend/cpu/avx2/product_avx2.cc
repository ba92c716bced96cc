// Needs AVX2, FMA, F16C.
#include "backend/cpu/avx2/lanes-inl.h"
// After the lanes, which they are written over.
#include "backend/cpu/float_product-inl.h"
#include "backend/cpu/integer_product-inl.h"

namespace sluice::cpu::avx2 {

// Signed codes always: the product of bytes would saturate. Others from where a decoded panel pays.
bool reads_words(const UnitShape& shape, bool digit, int64_t rows) {
  const bool is_signed = shape.codes == CodeKind::kByte || shape.codes == CodeKind::kNibbleTable;
  return is_signed || (!digit && rows > 4);
}

void integer_product(const ProductCall& call) { run_integer_product(call); }
void float_product(const ProductCall& call) { run_float_product(call); }

}  // namespace sluice::cpu::avx2
