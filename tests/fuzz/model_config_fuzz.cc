// Binding with forged JSON: config.json, hf_quant_config.json and generation_config.json may hold
// anything, and bind() must answer with a config and a report, or with an error.
//
// Input: one byte that says which file is forged, then its text. The others are those of a small
// build in NVFP4.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "checkpoint/checkpoint.h"
#include "model/binding.h"

namespace {

constexpr const char* kFiles[] = {"config.json", "hf_quant_config.json", "generation_config.json",
                                  "tokenizer_config.json"};

constexpr const char* kConfig =
    R"({"model_type":"qwen3_5_text","num_hidden_layers":2,"hidden_size":32,
"intermediate_size":32,"vocab_size":8,"num_attention_heads":2,"num_key_value_heads":1,"head_dim":16,
"linear_num_key_heads":1,"linear_num_value_heads":2,"linear_key_head_dim":8,"linear_value_head_dim":8,
"linear_conv_kernel_dim":4,"max_position_embeddings":64,"full_attention_interval":2,"tie_word_embeddings":true,
"rope_parameters":{"rope_type":"default","rope_theta":10000000,"partial_rotary_factor":0.5,"mrope_section":[2,1,1]},
"quantization_config":{"quant_method":"modelopt","quant_algo":"NVFP4","ignore":["lm_head","mtp*"]}})";

constexpr const char* kQuantization =
    R"({"quantization":{"quant_algo":"NVFP4","group_size":16,"exclude_modules":["lm_head","mtp*"]}})";

void put(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// Tensors of one MLP matrix, in both vendors' names, and a KV scale: enough for every rule to have
// something to judge.
std::string weights() {
  const std::string header =
      R"({"model.embed_tokens.weight":{"dtype":"BF16","shape":[8,32],"data_offsets":[0,512]},)"
      R"("model.layers.0.mlp.up_proj.weight":{"dtype":"U8","shape":[32,16],"data_offsets":[512,1024]},)"
      R"("model.layers.0.mlp.up_proj.weight_scale":{"dtype":"F8_E4M3","shape":[32,2],"data_offsets":[1024,1088]},)"
      R"("model.layers.0.mlp.up_proj.weight_scale_2":{"dtype":"F32","shape":[],"data_offsets":[1088,1092]},)"
      R"("model.layers.1.self_attn.k_proj.k_scale":{"dtype":"F32","shape":[1],"data_offsets":[1092,1096]}})";
  std::string length(8, '\0');
  for (size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(header.size() >> (8 * i));
  return length + header + std::string(1096, '\x3f');
}

const std::filesystem::path& folder() {
  static const std::filesystem::path path = [] {
    std::string pattern = (std::filesystem::temp_directory_path() / "model-fuzz-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    put(std::filesystem::path(pattern) / "model.safetensors", weights());
    return std::filesystem::path(pattern);
  }();
  return path;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t forged = data[0] % std::size(kFiles);
  for (size_t i = 0; i < std::size(kFiles); ++i) {
    put(folder() / kFiles[i], i == forged ? text
                              : i == 0    ? kConfig
                              : i == 1    ? kQuantization
                                          : "{}");
  }
  const auto checkpoint = sluice::checkpoint::Checkpoint::open(folder());
  if (!checkpoint.ok()) return 0;
  const auto binding = sluice::model::bind(*checkpoint);
  if (binding.ok() && binding->runnable) std::abort();  // most tensors are missing
  return 0;
}
