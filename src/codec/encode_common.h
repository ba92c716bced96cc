// What the encoders share: checking the source and laying out planes.
#pragma once

#include "codec/encode.h"

namespace sluice::codec {

// Size and finiteness of the source.
Status check_source(const WeightSource& source);

// A matrix of that format and shape, planes empty.
OwnedMatrix make_matrix(const WeightSource& source, Format format, int64_t block_rows,
                        int64_t block_columns);

// Allocates zeroed bytes and binds the plane to them; returns where they begin.
uint8_t* allocate_plane(std::vector<std::byte>& bytes, Plane& plane, DType dtype, int64_t rows,
                        int64_t columns);

// Writes `value`, already representable, as BF16 or F32 at `index`.
void store_scale(uint8_t* bytes, DType dtype, int64_t index, float value);

// `value` rounded to BF16 for BF16, unchanged for F32.
float round_to(DType dtype, float value);

Error not_encodable(const WeightSource& source, std::string why);

}  // namespace sluice::codec
