// Needs AVX2, FMA, F16C, AVX-512 F, VL, VNNI. The same source as
// avxvnni/integer_product_avxvnni.cc.
#include "backend/cpu/avxvnni_in_evex.h"

#include "backend/cpu/avxvnni/lanes-inl.h"
// After the lanes, which it is written over.
#include "backend/cpu/integer_product-inl.h"

namespace sluice::test {

bool avxvnni_reads_words(const cpu::PackedView& weight, bool digit, int64_t rows) {
  return cpu::wants_words(weight, digit, rows);
}
void avxvnni_in_evex(const cpu::ProductCall& call) { cpu::run_integer_product(call); }

}  // namespace sluice::test
