// Random models as Hugging Face folders: names and dtypes of the Qwen3.5 releases (spec/formats.md
// 2), FP8 in the layout of the official ones (spec/formats-safetensors.md 3.2).
#include <fmt/format.h>

#include <cmath>
#include <map>

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/safetensors_writer.h"
#include "models/random_fill.h"
#include "models/random_model.h"
#include "models/synthetic_vocabulary.h"

namespace sluice::benchmarks {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kTile = 128;

int64_t tiles(int64_t extent) { return (extent + kTile - 1) / kTile; }

bool is_fp8(const Weight& weight, bool fp8) { return fp8 && weight.fp8; }

bool is_matrix(const Weight& weight) {
  return weight.kind == WeightKind::kTable || weight.kind == WeightKind::kHead ||
         weight.kind == WeightKind::kLinear;
}

// A tensor of the file: a weight, or the scales of one.
struct Stored {
  const Weight* weight = nullptr;
  bool scales = false;
};

DType stored_dtype(const Weight& weight, bool fp8) {
  if (is_fp8(weight, fp8)) return DType::kF8E4M3;
  const bool wide = weight.kind == WeightKind::kDecay || weight.kind == WeightKind::kPlainNorm;
  return wide ? DType::kF32 : DType::kBF16;
}

std::vector<int64_t> stored_shape(const Weight& weight) {
  if (weight.kind == WeightKind::kConvolution) return {weight.rows, 1, weight.columns};
  if (is_matrix(weight)) return {weight.rows, weight.columns};
  return {weight.columns};
}

std::string scale_name(const Weight& weight) { return weight.safetensors_name + "_scale_inv"; }

std::vector<checkpoint::TensorSpec> specs_of(const std::vector<Weight>& weights, bool fp8,
                                             std::map<std::string, Stored>& by_name) {
  std::vector<checkpoint::TensorSpec> specs;
  for (const Weight& weight : weights) {
    specs.push_back({weight.safetensors_name, stored_dtype(weight, fp8), stored_shape(weight)});
    by_name[specs.back().name] = {&weight, false};
    if (!is_fp8(weight, fp8)) continue;
    specs.push_back(
        {scale_name(weight), DType::kBF16, {tiles(weight.rows), tiles(weight.columns)}});
    by_name[specs.back().name] = {&weight, true};
  }
  return specs;
}

// Scales that bring the codes' spread down to the weight's, each tile by up to a quarter more or
// less.
std::vector<float> tile_scales(const Weight& weight, uint64_t seed) {
  Random random(seed, scale_name(weight));
  std::vector<float> scales(static_cast<size_t>(tiles(weight.rows) * tiles(weight.columns)));
  for (float& scale : scales) {
    scale = weight_deviation(weight) / kFp8CodeSpread * (0.9f + 0.2f * random.uniform());
  }
  return scales;
}

Json text_config(const ModelShape& shape) {
  Json text = Json::object();
  text.set("model_type", "qwen3_5_text");
  text.set("attention_bias", false);
  text.set("attn_output_gate", true);
  text.set("dtype", "bfloat16");
  text.set("full_attention_interval", Json(shape.attention_interval));
  text.set("head_dim", Json(shape.head_dim));
  text.set("hidden_act", "silu");
  text.set("hidden_size", Json(shape.hidden));
  text.set("intermediate_size", Json(shape.intermediate));
  Json types = Json::array();
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    types.push_back(shape.is_attention(layer) ? "full_attention" : "linear_attention");
  }
  text.set("layer_types", std::move(types));
  text.set("linear_conv_kernel_dim", Json(shape.conv_kernel));
  text.set("linear_key_head_dim", Json(shape.gdn_head_dim));
  text.set("linear_num_key_heads", Json(shape.key_heads));
  text.set("linear_num_value_heads", Json(shape.value_heads));
  text.set("linear_value_head_dim", Json(shape.gdn_head_dim));
  text.set("max_position_embeddings", Json(shape.context));
  text.set("mtp_num_hidden_layers", shape.draft_head ? 1 : 0);
  text.set("mtp_use_dedicated_embeddings", false);
  text.set("num_attention_heads", Json(shape.query_heads));
  text.set("num_hidden_layers", Json(shape.layers));
  text.set("num_key_value_heads", Json(shape.kv_heads));
  text.set("rms_norm_eps", Json::number_from_spelling("1e-06"));
  text.set("tie_word_embeddings", shape.tied);
  text.set("vocab_size", Json(shape.vocabulary));
  text.set("mamba_ssm_dtype", "float32");
  const int64_t pairs = shape.rotary_pairs();
  Json rotary = Json::object();
  rotary.set("mrope_interleaved", true);
  rotary.set("mrope_section",
             Json(Json::Array{Json((pairs + 2) / 3), Json((pairs + 1) / 3), Json(pairs / 3)}));
  rotary.set("rope_type", "default");
  rotary.set("rope_theta", 10000000);
  rotary.set("partial_rotary_factor", 0.25);
  text.set("rope_parameters", std::move(rotary));
  return text;
}

// Modules that stay BF16, by their full paths.
Json unconverted_modules(const std::vector<Weight>& weights) {
  constexpr std::string_view kLeaf = ".weight";
  Json modules = Json::array();
  for (const Weight& weight : weights) {
    if (weight.fp8 || !std::string_view(weight.safetensors_name).ends_with(kLeaf)) continue;
    modules.push_back(
        weight.safetensors_name.substr(0, weight.safetensors_name.size() - kLeaf.size()));
  }
  return modules;
}

Json config_of(const ModelShape& shape, const std::vector<Weight>& weights, bool fp8) {
  Json config = Json::object();
  config.set("architectures", Json(Json::Array{Json("Qwen3_5ForConditionalGeneration")}));
  config.set("model_type", "qwen3_5");
  config.set("text_config", text_config(shape));
  config.set("tie_word_embeddings", shape.tied);
  if (fp8) {
    Json quantization = Json::object();
    quantization.set("quant_method", "fp8");
    quantization.set("fmt", "e4m3");
    quantization.set("activation_scheme", "dynamic");
    quantization.set("weight_block_size", Json(Json::Array{Json(kTile), Json(kTile)}));
    quantization.set("modules_to_not_convert", unconverted_modules(weights));
    config.set("quantization_config", std::move(quantization));
  }
  return config;
}

Status write_text(const fs::path& path, std::string_view text, bool overwrite) {
  return write_file(path, std::as_bytes(std::span(text.data(), text.size())), overwrite);
}

Status write_side_files(const fs::path& folder, const ModelShape& shape,
                        const std::vector<Weight>& weights, bool fp8,
                        const RandomModelOptions& options) {
  const SyntheticVocabulary vocabulary = synthetic_vocabulary(shape.vocabulary);
  SLUICE_TRY(write_text(folder / "config.json", config_of(shape, weights, fp8).dump(2),
                        options.overwrite));
  Json generation = Json::object();
  generation.set("eos_token_id",
                 Json(Json::Array{Json(vocabulary.end_of_turn), Json(vocabulary.end_of_text)}));
  generation.set("pad_token_id", Json(vocabulary.end_of_text));
  SLUICE_TRY(write_text(folder / "generation_config.json", generation.dump(2), options.overwrite));
  SLUICE_TRY(
      write_text(folder / "chat_template.jinja", synthetic_chat_template(), options.overwrite));
  constexpr uint64_t kMaxTokenizerBytes = 64ull << 20;
  std::string tokenizer;
  if (options.tokenizer.empty()) {
    tokenizer = synthetic_tokenizer_json(vocabulary).dump();
  } else {
    SLUICE_ASSIGN(tokenizer, read_file(options.tokenizer, kMaxTokenizerBytes));
  }
  return write_text(folder / "tokenizer.json", tokenizer, options.overwrite);
}

}  // namespace

uint64_t safetensors_bytes(const ModelShape& shape, bool fp8) {
  uint64_t total = 0;
  std::map<std::string, Stored> by_name;
  const std::vector<Weight> weights = weights_of(shape);
  for (const checkpoint::TensorSpec& spec : specs_of(weights, fp8, by_name)) {
    uint64_t elements = 1;
    for (const int64_t extent : spec.shape) elements *= static_cast<uint64_t>(extent);
    total += *dtype_bytes(spec.dtype, elements);
  }
  return total;
}

Status write_random_safetensors(const fs::path& folder, const ModelShape& shape, bool fp8,
                                const RandomModelOptions& options) {
  std::error_code problem;
  fs::create_directories(folder, problem);
  if (problem) return failed(folder.string(), "cannot create the folder: " + problem.message());
  SLUICE_TRY(require_space(folder, safetensors_bytes(shape, fp8)));
  const std::vector<Weight> weights = weights_of(shape);
  std::map<std::string, Stored> by_name;
  checkpoint::SafetensorsOptions writer_options;
  writer_options.overwrite = options.overwrite;
  SLUICE_ASSIGN(checkpoint::SafetensorsWriter writer,
                checkpoint::SafetensorsWriter::create(folder, specs_of(weights, fp8, by_name),
                                                      writer_options));
  // First, so that a wrong --tokenizer is known before gigabytes are written.
  SLUICE_TRY(write_side_files(folder, shape, weights, fp8, options));
  RandomFill random(options.seed);
  for (const checkpoint::TensorSpec& spec : writer.plan()) {
    const Stored& stored = by_name.at(spec.name);
    const Weight& weight = *stored.weight;
    const auto sink = [&](std::span<const std::byte> bytes) {
      return writer.append(spec.name, bytes);
    };
    if (stored.scales) {
      SLUICE_TRY(sink(encode(DType::kBF16, tile_scales(weight, options.seed))));
    } else if (is_matrix(weight)) {
      SLUICE_TRY(random.fill(spec.name, spec.dtype, weight.rows, weight.columns,
                             weight_deviation(weight), sink));
    } else {
      SLUICE_TRY(sink(encode(spec.dtype, vector_values(weight, options.seed))));
    }
  }
  return writer.finish();
}

}  // namespace sluice::benchmarks
