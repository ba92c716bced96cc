// Golden tensors as encoded matrices, by the table of spec/formats-safetensors.md section 2, and
// their hashes.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "codec/codec.h"
#include "codec/golden_file.h"
#include "tensor/matrix.h"

namespace sluice::codec::test {

// The matrix of the linear `module` ("...self_attn.q_proj"), from whatever tensors stand beside it
// in `file`. `integer_bits` is what the config says for I8 codes. Throws if the tensors fit no
// scheme.
EncodedMatrix safetensors_matrix(const GoldenFile& file, const std::string& module,
                                 int integer_bits = 8);

// A tensor of a GGUF file with its `.scale`, if any.
EncodedMatrix gguf_matrix(const GoldenFile& file, const GoldenTensor& tensor);

// Checks the matrix, its scales and codes (any failure is reported and gives an empty vector), then
// decodes it in two uneven pieces, so that a first row other than 0 is exercised.
std::vector<float> decode_all(const EncodedMatrix& matrix, const std::string& name);

// SHA-256 of the values as little-endian F32.
std::string hash_of(std::span<const float> values);
std::string hash_with_positive_zeros(std::vector<float> values);

}  // namespace sluice::codec::test
