// The AVX-VNNI kernel in the encoding of AVX-512, for machines that have only that.
#pragma once

#include "backend/cpu/product.h"

namespace sluice::test {

bool avxvnni_reads_words(const cpu::PackedView& weight, bool digit, int64_t rows);
void avxvnni_in_evex(const cpu::ProductCall& call);

}  // namespace sluice::test
