// The byte vectors of the specification that several tests use, and a reader of their notation.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace sluice::codec::test {

// "80 16 13" as bytes; white space is free.
std::vector<uint8_t> hex(std::string_view text);

// Row of formats-safetensors.md section 7: four blocks of 16 with ties, an ordinary block, zeros
// and an underflow.
std::vector<float> nvfp4_row();

// Its encodings there: codes and scales of compressed-tensors (G = 3584) and of ModelOpt (ws2 =
// 0.75/2688).
std::vector<uint8_t> nvfp4_row_ct_codes();
std::vector<uint8_t> nvfp4_row_ct_scales();
std::vector<uint8_t> nvfp4_row_modelopt_codes();
std::vector<uint8_t> nvfp4_row_modelopt_scales();

// Row of formats-gguf.md section 8 (256 weights) and its importance vector.
std::vector<float> ggml_row();
std::vector<float> ggml_importance();

// Blocks of that row as printed there.
std::vector<uint8_t> ggml_row_q4_k();
std::vector<uint8_t> ggml_row_q4_k_importance();
std::vector<uint8_t> ggml_row_q5_k();
std::vector<uint8_t> ggml_row_q6_k();
std::vector<uint8_t> ggml_row_q8_0_first();
std::vector<uint8_t> ggml_row_mxfp4_first();
std::vector<uint8_t> ggml_row_nvfp4_first();

}  // namespace sluice::codec::test
