// Needs AVX2.
#include "backend/cpu/prepare_integers-inl.h"

namespace sluice::cpu::avx2 {

void prepare_integers(Prepared form, const float* x, void* unit) { make_integers(form, x, unit); }

}  // namespace sluice::cpu::avx2
