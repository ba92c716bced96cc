// Rows to ggml blocks, equal to those of ggml's own quantizer bit for bit
// (spec/quantization-algorithms.md sections 4 to 6). Rows are independent, so callers may spread
// them over threads.
#pragma once

#include <span>

#include "codec/ggml_fp4.h"
#include "codec/ggml_iq4.h"
#include "codec/ggml_k.h"
#include "codec/ggml_legacy.h"
#include "tensor/dtype.h"

namespace sluice::codec {

// One row of whole blocks of finite values. `importance` has a non-negative value per column, or is
// empty; Q8_0, MXFP4 and NVFP4 do not use it. A value whose scale does not fit F16 gives an
// infinite `d`: check_codes finds it.
void encode_row(std::span<const float> row, std::span<const float> importance, BlockQ4_0* out);
void encode_row(std::span<const float> row, std::span<const float> importance, BlockQ4_1* out);
void encode_row(std::span<const float> row, std::span<const float> importance, BlockQ5_0* out);
void encode_row(std::span<const float> row, std::span<const float> importance, BlockQ5_1* out);
void encode_row(std::span<const float> row, std::span<const float> importance, BlockQ8_0* out);
void encode_row(std::span<const float> row, std::span<const float> importance, BlockQ2_K* out);
void encode_row(std::span<const float> row, std::span<const float> importance, BlockQ3_K* out);
void encode_row(std::span<const float> row, std::span<const float> importance, BlockQ4_K* out);
void encode_row(std::span<const float> row, std::span<const float> importance, BlockQ5_K* out);
void encode_row(std::span<const float> row, std::span<const float> importance, BlockQ6_K* out);
void encode_row(std::span<const float> row, std::span<const float> importance, BlockIQ4_NL* out);
void encode_row(std::span<const float> row, std::span<const float> importance, BlockIQ4_XS* out);
void encode_row(std::span<const float> row, std::span<const float> importance, BlockGgmlMxfp4* out);

// ggml's own single-level NVFP4, without `.scale`. Its scales are coarse for weights of usual size:
// writers use encode_nvfp4 and repack (spec/formats-gguf.md 4.8).
void encode_row(std::span<const float> row, std::span<const float> importance, BlockGgmlNvfp4* out);

// The same by storage type; `out` takes dtype_bytes(type, row.size()) bytes.
void encode_ggml_row(DType type, std::span<const float> row, std::span<const float> importance,
                     std::byte* out);

}  // namespace sluice::codec
