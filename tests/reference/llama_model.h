// What the two programs that ask llama.cpp for its logits share: a model and a context in which
// nothing but llama.cpp's own products is rounded. Keys and values are F32, attention is not the
// fused one and weights are not repacked, so that what differs from the exact result is the
// rounding of activations and the order of sums.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "llama-ext.h"
#include "llama.h"

struct Free {
  void operator()(llama_model* model) const { llama_model_free(model); }
  void operator()(llama_context* context) const { llama_free(context); }
  void operator()(llama_batch_ext* batch) const { llama_batch_ext_free(batch); }
};
using Model = std::unique_ptr<llama_model, Free>;
using Context = std::unique_ptr<llama_context, Free>;
using Batch = std::unique_ptr<llama_batch_ext, Free>;

inline void require(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "failed: %s\n", what.c_str());
  std::exit(1);
}

// Only errors: the rest of llama.cpp's messages is hundreds of lines, warnings of a head that is
// not asked for among them.
inline void quiet_log(ggml_log_level level, const char* text, void*) {
  if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
}

inline Model load_model(const char* path, bool with_draft_head) {
  llama_log_set(quiet_log, nullptr);
  llama_backend_init();
  llama_model_params params = llama_model_default_params();
  params.use_extra_bufts = false;
  params.load_mtp = with_draft_head;
  Model model(llama_model_load_from_file(path, params));
  require(model != nullptr, std::string("load ") + path);
  return model;
}

inline Context make_context(llama_model* model, uint32_t tokens, llama_context* draft_of) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = params.n_batch = params.n_ubatch = tokens;
  params.n_seq_max = 1;
  params.n_threads = params.n_threads_batch = 1;
  params.type_k = params.type_v = GGML_TYPE_F32;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  if (draft_of) {
    params.ctx_type = LLAMA_CONTEXT_TYPE_MTP;
    params.ctx_other = draft_of;
  }
  Context context(llama_init_from_model(model, params));
  require(context != nullptr, draft_of ? "context of the draft head" : "context");
  return context;
}

// Runs the batch and appends the logits of its rows.
inline void decode(llama_context* context, llama_batch_ext* batch, int rows,
                   std::vector<float>& logits) {
  require(llama_process(context, LLAMA_PROCESS_TYPE_DECODE, batch) == 0, "llama_process");
  const llama_vocab* vocabulary = llama_model_get_vocab(llama_get_model(context));
  const int width = llama_vocab_n_tokens(vocabulary);
  for (int row = 0; row < rows; ++row) {
    const float* values = llama_get_logits_ith(context, row);
    require(values != nullptr, "logits of a row");
    logits.insert(logits.end(), values, values + width);
  }
}

inline std::vector<int32_t> parse_numbers(const std::string& list) {
  std::vector<int32_t> numbers;
  std::stringstream stream(list);
  for (std::string item; std::getline(stream, item, ',');) numbers.push_back(std::stoi(item));
  return numbers;
}

inline void write_floats(const std::string& path, const std::vector<float>& values) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(float)));
  require(out.good(), "write " + path);
}
