// The kernel's own source over emulated registers, under a name of its own beside the real one.
#define avx512 emulated_avx512
#include "backend/cpu/avx512/float_product_avx512.cc"
