// The fast way through a matrix: sixteen rows of a whole unit at once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cpu/detect.h"
#include "backend/cpu/product.h"
#include "tensor/matrix.h"

namespace sluice::cpu {

// Writes the unit of rows first_row .. first_row + 15, all of which and all of whose columns exist,
// to `out` (the unit's first byte, zeros so far). Gives the bytes that the format's RowReader and a
// spread give, which define the layout; edges of a matrix go that way.
using UnitPacker = void (*)(const EncodedMatrix& source, const UnitShape& shape, int64_t first_row,
                            int64_t unit, uint8_t* out);

// nullptr: the form has none (integers of 2, 3, 5, 6 or 7 bits, and what is kept decoded). Such
// builds are rare, and their rows are spread by the same transposition.
UnitPacker unit_packer_ggml(const EncodedMatrix& source);
UnitPacker unit_packer_safetensors(const EncodedMatrix& source, const UnitShape& shape,
                                   InstructionSet set);

#if defined(__x86_64__)
namespace avx2 {
// Codes of a unit from sixteen rows of 128 bytes, row_bytes apart, of nibbles in column order, the
// even one low.
void pack_nibbles(const uint8_t* first, size_t row_bytes, uint8_t* codes);
}  // namespace avx2
#endif

}  // namespace sluice::cpu
