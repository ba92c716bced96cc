// Random models as GGUF: metadata of spec/formats-gguf.md 2, names and conventions of 3.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "checkpoint/gguf_writer.h"
#include "models/random_fill.h"
#include "models/random_model.h"
#include "models/synthetic_vocabulary.h"

namespace sluice::benchmarks {
namespace {

namespace fs = std::filesystem;
using checkpoint::GgufArray;
using checkpoint::GgufMetadata;
using checkpoint::GgufType;
using checkpoint::GgufValue;

std::vector<int64_t> stored_shape(const Weight& weight) {
  if (weight.kind == WeightKind::kConvolution || weight.rows > 1)
    return {weight.rows, weight.columns};
  return {weight.columns};
}

void add_tokenizer(GgufMetadata& metadata, int64_t rows) {
  SyntheticVocabulary vocabulary = synthetic_vocabulary(rows);
  metadata.add("tokenizer.ggml.model", GgufValue(std::string("gpt2")));
  metadata.add("tokenizer.ggml.pre", GgufValue(std::string("qwen35")));
  metadata.add("tokenizer.ggml.tokens", GgufValue(GgufArray(std::move(vocabulary.tokens))));
  metadata.add("tokenizer.ggml.token_type", GgufValue(GgufArray(std::move(vocabulary.types))));
  metadata.add("tokenizer.ggml.merges", GgufValue(GgufArray(std::vector<std::string>())));
  metadata.add("tokenizer.ggml.eos_token_id",
               GgufValue(static_cast<uint64_t>(vocabulary.end_of_turn)));
  metadata.add("tokenizer.ggml.padding_token_id",
               GgufValue(static_cast<uint64_t>(vocabulary.end_of_text)));
  metadata.add("tokenizer.ggml.bos_token_id",
               GgufValue(static_cast<uint64_t>(vocabulary.end_of_text)));
  metadata.add("tokenizer.ggml.add_bos_token", GgufValue(false));
  metadata.add("tokenizer.chat_template", GgufValue(synthetic_chat_template()));
}

GgufMetadata metadata_of(const ModelShape& shape, const Mixture& mixture) {
  GgufMetadata metadata;
  const auto text = [&](const char* key, std::string value) {
    metadata.add(key, GgufValue(std::move(value)));
  };
  const auto count = [&](const char* key, int64_t value) {
    metadata.add(key, GgufValue(static_cast<uint64_t>(value)));
  };
  text("general.architecture", "qwen35");
  text("general.type", "model");
  text("general.name", "Random weights in the shape of " + shape.name);
  text("general.size_label", shape.name);
  count("general.quantization_version", 2);
  count("general.file_type", mixture.file_type);
  count("qwen35.context_length", shape.context);
  count("qwen35.embedding_length", shape.hidden);
  count("qwen35.block_count", shape.blocks());
  if (shape.draft_head) count("qwen35.nextn_predict_layers", 1);
  count("qwen35.feed_forward_length", shape.intermediate);
  count("qwen35.attention.head_count", shape.query_heads);
  count("qwen35.attention.head_count_kv", shape.kv_heads);
  count("qwen35.attention.key_length", shape.head_dim);
  count("qwen35.attention.value_length", shape.head_dim);
  metadata.add("qwen35.attention.layer_norm_rms_epsilon", GgufValue(static_cast<double>(1e-6f)));
  metadata.add("qwen35.rope.freq_base", GgufValue(1e7));
  count("qwen35.rope.dimension_count", 2 * shape.rotary_pairs());
  const int64_t pairs = shape.rotary_pairs();
  metadata.add(
      "qwen35.rope.dimension_sections",
      GgufValue(GgufArray(std::vector<int64_t>{(pairs + 2) / 3, (pairs + 1) / 3, pairs / 3, 0})));
  count("qwen35.full_attention_interval", shape.attention_interval);
  std::vector<bool> recurrent;
  for (int64_t block = 0; block < shape.blocks(); ++block)
    recurrent.push_back(!shape.is_attention(block));
  metadata.add("qwen35.attention.recurrent_layers", GgufValue(GgufArray(std::move(recurrent))));
  count("qwen35.ssm.conv_kernel", shape.conv_kernel);
  count("qwen35.ssm.state_size", shape.gdn_head_dim);
  count("qwen35.ssm.group_count", shape.key_heads);
  count("qwen35.ssm.time_step_rank", shape.value_heads);
  count("qwen35.ssm.inner_size", shape.value_heads * shape.gdn_head_dim);
  add_tokenizer(metadata, shape.vocabulary);
  return metadata;
}

// Vectors as GGUF wants them: norms ready to multiply, the decay ready to use.
std::vector<float> ready_values(const Weight& weight, uint64_t seed) {
  std::vector<float> values = vector_values(weight, seed);
  for (float& value : values) {
    if (weight.kind == WeightKind::kNorm) value += 1.0f;
    if (weight.kind == WeightKind::kDecay) value = -std::exp(value);
  }
  return values;
}

}  // namespace

uint64_t gguf_bytes(const ModelShape& shape, const Mixture& mixture) {
  uint64_t total = 0;
  for (const Weight& weight : weights_of(shape)) {
    const uint64_t size = *dtype_bytes(gguf_type(mixture, shape, weight),
                                       static_cast<uint64_t>(weight.rows * weight.columns));
    total += (size + 31) / 32 * 32;
  }
  return total;
}

Status write_random_gguf(const fs::path& file, const ModelShape& shape, const Mixture& mixture,
                         const RandomModelOptions& options) {
  SLUICE_TRY(require_space(file.has_parent_path() ? file.parent_path() : fs::path("."),
                           gguf_bytes(shape, mixture)));
  const std::vector<Weight> weights = weights_of(shape);
  std::vector<checkpoint::TensorSpec> specs;
  for (const Weight& weight : weights) {
    specs.push_back({weight.gguf_name, gguf_type(mixture, shape, weight), stored_shape(weight)});
  }
  SLUICE_ASSIGN(checkpoint::GgufWriter writer,
                checkpoint::GgufWriter::create(file, metadata_of(shape, mixture), specs,
                                               {0, options.overwrite}));
  RandomFill random(options.seed);
  for (size_t i = 0; i < weights.size(); ++i) {
    const Weight& weight = weights[i];
    const auto sink = [&](std::span<const std::byte> bytes) {
      return writer.append(weight.gguf_name, bytes);
    };
    if (specs[i].dtype == DType::kF32) {
      SLUICE_TRY(sink(encode(DType::kF32, ready_values(weight, options.seed))));
    } else {
      SLUICE_TRY(random.fill(weight.gguf_name, specs[i].dtype, weight.rows, weight.columns,
                             weight_deviation(weight), sink));
    }
  }
  return writer.finish();
}

}  // namespace sluice::benchmarks
