// Needs AVX2, FMA, F16C, AVX-VNNI.
#include "backend/cpu/avxvnni/lanes-inl.h"
// After the lanes, which it is written over.
#include "backend/cpu/integer_product-inl.h"

namespace sluice::cpu::avxvnni {

bool reads_words(const PackedView& weight, bool digit, int64_t rows) {
  return wants_words(weight, digit, rows);
}
void integer_product(const ProductCall& call) { run_integer_product(call); }

}  // namespace sluice::cpu::avxvnni
