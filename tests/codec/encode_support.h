// What the tests of the encoders share.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "codec/encode.h"

namespace sluice::codec::test {

WeightSource source_of(std::span<const float> values, int64_t rows, int64_t columns,
                       SourceType type = SourceType::kBf16);

std::vector<uint8_t> bytes_of(const Plane& plane);

// The matrix of a result that has to be one, and that all checks have to accept; failures are
// reported.
OwnedMatrix checked(Result<OwnedMatrix> result);

std::vector<float> decoded(const OwnedMatrix& owned);

// Student t with 5 degrees of freedom, RMS 0.02, BF16, fixed seed.
std::vector<float> random_weights(size_t count);

}  // namespace sluice::codec::test
