// What all ggml block types have in common: rows of whole blocks, scales inside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "tensor/dtype.h"
#include "tensor/format.h"

namespace sluice::codec {

// The storage type of a ggml block format; nothing for the others.
std::optional<DType> ggml_dtype(Format format);

// `count` consecutive blocks of a ggml type as F32. For NVFP4 without `.scale`.
void decode_ggml_blocks(DType type, const std::byte* blocks, int64_t count, float* out);

}  // namespace sluice::codec
