// Random numbers by counter, not by stream: the number for (seed, choice, output position) is the
// same whether the position was reached by plain decoding, by accepted drafts, or in another batch.
#pragma once

#include <array>
#include <cstdint>

namespace sluice::runtime {

// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Uniform in [0, 1) with 53 bits, for one output position of one choice of a request.
double uniform(uint64_t seed, uint32_t choice, uint64_t position);

}  // namespace sluice::runtime
