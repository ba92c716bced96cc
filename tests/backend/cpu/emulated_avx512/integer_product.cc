// As float_product.cc.
#define avx512vnni emulated_avx512vnni
#include "backend/cpu/avx512/integer_product_avx512vnni.cc"
