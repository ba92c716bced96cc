#include "cli/session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/switches.h"
#include "chat/template_source.h"

namespace sluice::cli {
namespace {

constexpr uint64_t kMaxTokenizerBytes = uint64_t{256} << 20;
constexpr uint64_t kMaxSideFileBytes = uint64_t{16} << 20;

// The program, its libraries' heaps and the bookkeeping of an engine, beside what is counted one by
// one.
constexpr uint64_t kProgramBytes = uint64_t{12} << 20;

Result<std::optional<Json>> read_json_if_there(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::optional<Json>();
  SLUICE_ASSIGN(const std::string text, read_file(path, kMaxSideFileBytes));
  Result<Json> json = parse_json(text);
  if (!json.ok()) return bad_input(path.string(), json.error().message());
  return std::optional<Json>(std::move(*json));
}

// Parses the template that the model's files name, if any. A damaged one is remembered, not fatal:
// text prompts still work.
Status set_template(ModelFiles& files, const std::optional<std::string>& jinja_file,
                    const Json* config, const std::optional<std::string>& gguf) {
  SLUICE_ASSIGN(auto source, chat::choose_template(jinja_file, config, gguf, false));
  if (!source) return {};
  files.template_source = gguf ? "gguf" : source->origin;
  Result<chat::ChatTemplate> parsed = chat::ChatTemplate::parse(std::move(source->text));
  if (parsed.ok()) {
    files.chat_template = std::move(*parsed);
  } else {
    files.template_error = parsed.error();
  }
  return {};
}

// Tokenizer, template and generation defaults that lie in a folder as files.
Status read_folder(ModelFiles& files, const std::filesystem::path& folder,
                   const std::filesystem::path& tokenizer_file) {
  SLUICE_ASSIGN(const auto config, read_json_if_there(folder / "tokenizer_config.json"));
  SLUICE_ASSIGN(files.generation_config, read_json_if_there(folder / "generation_config.json"));
  std::error_code ignored;
  if (!files.tokenizer && std::filesystem::exists(tokenizer_file, ignored)) {
    SLUICE_ASSIGN(const std::string text, read_file(tokenizer_file, kMaxTokenizerBytes));
    auto tokenizer = tokenizer::Tokenizer::from_json(text, config ? &*config : nullptr);
    if (tokenizer.ok()) {
      files.tokenizer = std::move(*tokenizer);
    } else {
      files.tokenizer_error = tokenizer.error();
      files.tokenizer_error->what = tokenizer_file.string() + ": " + files.tokenizer_error->what;
    }
  }
  if (config) {
    files.bos_token = chat::special_token(*config, "bos_token");
    files.eos_token = chat::special_token(*config, "eos_token");
  }
  std::optional<std::string> jinja;
  if (std::filesystem::exists(folder / "chat_template.jinja", ignored)) {
    SLUICE_ASSIGN(jinja, read_file(folder / "chat_template.jinja", kMaxSideFileBytes));
  }
  return set_template(files, jinja, config ? &*config : nullptr, std::nullopt);
}

Status read_gguf(ModelFiles& files, const checkpoint::GgufMetadata& gguf) {
  tokenizer::GgufVocabulary vocabulary;
  SLUICE_ASSIGN(const auto model, gguf.string("tokenizer.ggml.model"));
  if (model) {
    vocabulary.model = *model;
    SLUICE_ASSIGN(const auto pre, gguf.string("tokenizer.ggml.pre"));
    vocabulary.pre = pre.value_or("");
    SLUICE_ASSIGN(auto tokens, gguf.strings("tokenizer.ggml.tokens"));
    if (tokens) vocabulary.tokens = std::move(*tokens);
    SLUICE_ASSIGN(auto types, gguf.integers("tokenizer.ggml.token_type"));
    if (types) vocabulary.types = std::move(*types);
    SLUICE_ASSIGN(auto merges, gguf.strings("tokenizer.ggml.merges"));
    if (merges) vocabulary.merges = std::move(*merges);
    const auto piece = [&](const char* key) -> Result<std::optional<std::string>> {
      SLUICE_ASSIGN(const auto id, gguf.unsigned_integer(key));
      if (!id || *id >= vocabulary.tokens.size()) return std::optional<std::string>();
      return std::optional<std::string>(vocabulary.tokens[static_cast<size_t>(*id)]);
    };
    SLUICE_ASSIGN(files.bos_token, piece("tokenizer.ggml.bos_token_id"));
    SLUICE_ASSIGN(files.eos_token, piece("tokenizer.ggml.eos_token_id"));
    auto tokenizer = tokenizer::Tokenizer::from_gguf(vocabulary);
    if (tokenizer.ok()) {
      files.tokenizer = std::move(*tokenizer);
    } else {
      files.tokenizer_error = tokenizer.error();
    }
  }
  SLUICE_ASSIGN(auto source, gguf.string("tokenizer.chat_template"));
  SLUICE_TRY(set_template(files, std::nullopt, nullptr, source));
  // Sampling defaults travel as general.sampling.* (newer converters).
  Json generation = Json::object();
  for (const auto& [key, name] : {std::pair{"general.sampling.temp", "temperature"},
                                  {"general.sampling.top_p", "top_p"},
                                  {"general.sampling.min_p", "min_p"},
                                  {"general.sampling.penalty_repeat", "repetition_penalty"}}) {
    SLUICE_ASSIGN(const auto value, gguf.real(key));
    if (value) generation.set(name, Json(static_cast<double>(static_cast<float>(*value))));
  }
  SLUICE_ASSIGN(const auto top_k, gguf.unsigned_integer("general.sampling.top_k"));
  if (top_k) generation.set("top_k", Json(*top_k));
  if (!generation.members().empty()) files.generation_config = std::move(generation);
  return {};
}

}  // namespace

std::vector<std::filesystem::path> installed_model_folders() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return {};
  const auto bin = program.parent_path();
  // Installed beside the program, or in the source tree of a build (build/release/bin).
  return {bin / "../share/sluice/models", bin / "../../../models"};
}

Result<ModelFiles> open_model(const std::string& model, NeedWeights need) {
  ModelFiles files;
  const auto folders = installed_model_folders();
  SLUICE_ASSIGN(files.path, checkpoint::resolve_model(model, folders));
  const std::string name = files.path.filename().string();
  if (need == NeedWeights::kNo && files.path.extension() == ".jinja") {
    SLUICE_ASSIGN(std::string source, read_file(files.path, kMaxSideFileBytes));
    SLUICE_TRY(set_template(files, std::move(source), nullptr, std::nullopt));
    files.template_source = name;
    return files;
  }
  if (need == NeedWeights::kNo && files.path.extension() == ".json" &&
      !name.ends_with(".index.json")) {
    SLUICE_TRY(read_folder(files, files.path.parent_path(), files.path));
    return files;
  }
  Result<checkpoint::Checkpoint> opened = checkpoint::Checkpoint::open(files.path);
  if (opened.ok()) {
    files.checkpoint = std::move(*opened);
  } else if (need == NeedWeights::kYes || !std::filesystem::is_directory(files.path)) {
    return std::move(opened).error();
  }
  if (files.checkpoint && files.checkpoint->gguf() != nullptr) {
    SLUICE_TRY(read_gguf(files, *files.checkpoint->gguf()));
  }
  const auto folder = files.checkpoint ? files.checkpoint->folder() : files.path;
  const bool gguf_says_all = files.checkpoint && files.checkpoint->gguf() != nullptr;
  if (!gguf_says_all) SLUICE_TRY(read_folder(files, folder, folder / "tokenizer.json"));
  if (!files.tokenizer && !files.tokenizer_error) {
    files.tokenizer_error =
        bad_input(folder.string(), "has no tokenizer.json", "Copy it from the model's repository");
  }
  return files;
}

uint64_t resident_bytes(const ModelFiles& files) {
  return kProgramBytes + (files.tokenizer ? files.tokenizer->memory_bytes() : 0);
}

Result<std::unique_ptr<LoadedModel>> prepare_model(const Console& console,
                                                   const ModelOptions& options) {
  auto loaded = std::make_unique<LoadedModel>();
  SLUICE_ASSIGN(const auto backend_options, options.backend_options());
  SLUICE_ASSIGN(loaded->backend, backend::create(backend_options));
  SLUICE_ASSIGN(loaded->files, open_model(options.model, NeedWeights::kYes));
  SLUICE_ASSIGN(loaded->binding, model::bind(*loaded->files.checkpoint));
  SLUICE_TRY(model::require_runnable(loaded->binding, loaded->files.path.string()));
  for (const std::string& note : loaded->files.checkpoint->notes()) console.note(note);
  for (const model::Problem& problem : loaded->binding.problems) {
    if (problem.severity == model::Problem::Severity::kWarning) {
      console.warn(problem.tensor.empty() ? problem.message
                                          : problem.tensor + ": " + problem.message);
    }
  }
  return loaded;
}

namespace {

// What --prefix-cache asks for; without it half of what the plan leaves, up to what is plenty.
Result<uint64_t> prefix_cache_bytes(const ModelOptions& options, const LoadedModel& loaded,
                                    const runtime::EngineShape& shape, uint64_t resident) {
  constexpr uint64_t kPlentyPerSequence = 16;
  if (!options.caches_prompts || options.prefix_cache == 0) return uint64_t{0};
  const bool with_mtp = shape.draft_depth > 0;
  const size_t page =
      model::TextModel::kv_spec(loaded.binding, with_mtp, 1, shape.kv).bytes_per_page();
  const model::TextConfig& config = loaded.binding.config;
  const uint64_t least =
      runtime::CacheShape::least_bytes(config, page, with_mtp, shape.saved_states);
  if (options.prefix_cache && *options.prefix_cache < least) {
    return usage_error("--prefix-cache",
                       fmt::format("{} bytes hold no state of this model", *options.prefix_cache),
                       fmt::format("Give at least {}, or 0 for none", least));
  }
  if (options.prefix_cache) return *options.prefix_cache;
  const auto plan = runtime::plan_memory(loaded.binding, *loaded.backend, shape, resident);
  const uint64_t half = plan.fits() ? (plan.available - plan.total()) / 2 : 0;
  const uint64_t plenty = kPlentyPerSequence * static_cast<uint64_t>(shape.sequences) *
                          (least + runtime::CacheShape::pages_per_state(shape.saved_states) * page);
  const uint64_t chosen = std::min(half, plenty);
  return chosen < least ? uint64_t{0} : chosen;
}

}  // namespace

Status finish_loading(const Console& console, const ModelOptions& options, LoadedModel& loaded,
                      runtime::EngineShape shape) {
  SLUICE_ASSIGN(shape.kv, options.kv_format(*loaded.backend));
  SLUICE_ASSIGN(shape.draft_depth, options.drafts());
  SLUICE_ASSIGN(shape.draft_rows, options.draft_rows());
  SLUICE_ASSIGN(shape.saved_states, options.saved_states());
  shape.adaptive_depth = options.adaptive_drafts();
  if (!loaded.binding.mtp_usable) shape.draft_depth = 0;
  if (shape.context > loaded.binding.config.context) {
    return usage_error("--context", fmt::format("{} tokens, the model was made for {}",
                                                shape.context, loaded.binding.config.context));
  }
  const uint64_t resident = resident_bytes(loaded.files);
  SLUICE_ASSIGN(shape.prefix_cache, prefix_cache_bytes(options, loaded, shape, resident));
  if (shape.disk.on() && shape.prefix_cache == 0) {
    return usage_error("--disk-cache", "there is no prefix cache in memory for it to fill",
                       "Give --prefix-cache bytes");
  }
  loaded.shape = shape;
  loaded.plan = runtime::plan_memory(loaded.binding, *loaded.backend, shape, resident);
  if (!loaded.plan.fits()) {
    const auto nearest = runtime::nearest_shape(loaded.binding, *loaded.backend, shape, resident);
    return runtime::does_not_fit(loaded.files.path.string(), loaded.plan, shape, nearest);
  }
  const auto start = std::chrono::steady_clock::now();
  model::LoadOptions load;
  load.with_mtp = shape.draft_depth > 0;
  int shown = -1;
  load.progress = [&](uint64_t done, uint64_t total) {
    const int percent = total == 0 ? 100 : static_cast<int>(done * 100 / total);
    if (percent == shown) return;
    shown = percent;
    console.progress(
        fmt::format("loading {} {:3d} %", loaded.files.path.filename().string(), percent));
  };
  SLUICE_ASSIGN(loaded.model, model::TextModel::load(*loaded.files.checkpoint, loaded.binding,
                                                     *loaded.backend, load));
  console.clear_progress();
  loaded.load_ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return {};
}

Result<std::unique_ptr<LoadedModel>> load_model(const Console& console, const ModelOptions& options,
                                                runtime::EngineShape shape) {
  SLUICE_ASSIGN(auto loaded, prepare_model(console, options));
  SLUICE_TRY(finish_loading(console, options, *loaded, shape));
  return loaded;
}

}  // namespace sluice::cli
