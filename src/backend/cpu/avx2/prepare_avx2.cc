// Needs AVX2.
#include "backend/cpu/prepare_integers-inl.h"

namespace sluice::cpu::avx2 {

bool prepare_integers(Prepared form, const float* x, void* unit) {
  return make_integers(form, x, unit);
}

}  // namespace sluice::cpu::avx2
