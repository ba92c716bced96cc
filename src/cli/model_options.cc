#include "cli/model_options.h"

#include <fmt/format.h>

#include <charconv>

namespace sluice::cli {

void ModelOptions::declare(CLI::App& app) {
  declare_model(app);
  app.add_option("--context", context, "tokens of context per sequence")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  app.add_option("--draft-depth", draft_depth,
                 "drafts per step, 0 (off) to 8, or auto: as many as pay")
      ->capture_default_str();
  app.add_option(
         "--draft-head", draft_head,
         "vocabulary of drafts: full, the first N ids, or auto: what the texts at hand use; "
         "moves time, never an answer")
      ->capture_default_str();
}

void ModelOptions::declare_model(CLI::App& app) {
  app.add_option("MODEL", model,
                 "directory, *.index.json, *.safetensors, *.gguf, installed name, or org/name")
      ->required();
  app.add_option("--backend", backend, "ref (plain, the oracle) or cpu (fast)")
      ->capture_default_str();
  app.add_option("--threads", threads, "threads (default: the cores this process may use)")
      ->check(CLI::Range(1, 1024));
  app.add_option("--kv", kv, "keys and values: bf16, fp8 or f32 (default bf16; f32 on ref)");
  app.add_option("--activations", activations, "inputs of products: wide, digit, published or by-format");
}

void ModelOptions::declare_prefix_cache(CLI::App& app) {
  caches_prompts = true;
  app.add_option("--prefix-cache", prefix_cache,
                 "bytes for prompts that have been read; 0: none (default: half of what is left, "
                 "at most 16 states a sequence)");
  declare_cache_state(app);
}

void ModelOptions::declare_cache_state(CLI::App& app) {
  app.add_option("--cache-state", cache_state,
                 "recurrent states of the prefix cache: f32 (as they are), int16 or int8 (two or "
                 "nearly four times as many; answers behind them are no longer a cold start's to "
                 "the bit)")
      ->capture_default_str();
}

Result<backend::BackendOptions> ModelOptions::backend_options() const {
  backend::BackendOptions options;
  options.name = backend;
  options.threads = threads;
  if (activations == "wide") {
    options.activations = ops::ActivationMode::kWide;
  } else if (activations == "digit") {
    options.activations = ops::ActivationMode::kDigit;
  } else if (activations == "published") {
    options.activations = ops::ActivationMode::kPublished;
  } else if (activations == "by-format") {
    options.activations = ops::ActivationMode::kByFormat;
  } else if (!activations.empty()) {
    return usage_error("--activations", fmt::format("\"{}\" is unknown", activations),
                       "Use wide, digit, published or by-format");
  }
  return options;
}

Result<ops::KvFormat> ModelOptions::kv_format(const ops::Backend& chosen) const {
  if (kv.empty()) return chosen.info().default_kv;
  if (kv == "bf16") return ops::KvFormat::kBF16;
  if (kv == "fp8") return ops::KvFormat::kFp8;
  if (kv == "f32") return ops::KvFormat::kF32;
  return usage_error("--kv", fmt::format("\"{}\" is unknown", kv), "Use bf16, fp8 or f32");
}

Result<runtime::StateForm> ModelOptions::saved_states() const {
  const auto form = runtime::state_form_named(cache_state);
  if (form) return *form;
  return usage_error("--cache-state", fmt::format("\"{}\" is unknown", cache_state),
                     "Use f32, int16 or int8");
}

Result<int> ModelOptions::drafts() const {
  if (adaptive_drafts()) return 3;
  int depth = -1;
  const char* end = draft_depth.data() + draft_depth.size();
  const auto parsed = std::from_chars(draft_depth.data(), end, depth);
  if (parsed.ec != std::errc{} || parsed.ptr != end || depth < 0 || depth > 8) {
    return usage_error("--draft-depth", fmt::format("\"{}\" is not 0 to 8 or auto", draft_depth));
  }
  return depth;
}

Result<int64_t> ModelOptions::draft_rows() const {
  if (draft_head == "auto") return runtime::DraftVocabulary::kThatPay;
  if (draft_head == "full") return runtime::DraftVocabulary::kAll;
  int64_t rows = 0;
  const char* end = draft_head.data() + draft_head.size();
  const auto parsed = std::from_chars(draft_head.data(), end, rows);
  if (parsed.ec != std::errc{} || parsed.ptr != end || rows < 1) {
    return usage_error("--draft-head",
                       fmt::format("\"{}\" is not auto, full or a number of ids", draft_head));
  }
  return rows;
}

const char* activation_mode_name(ops::ActivationMode mode) {
  switch (mode) {
    case ops::ActivationMode::kWide:
      return "wide";
    case ops::ActivationMode::kDigit:
      return "digit";
    case ops::ActivationMode::kPublished:
      return "published";
    case ops::ActivationMode::kByFormat:
      return "by-format";
  }
  return "unknown";
}

}  // namespace sluice::cli
