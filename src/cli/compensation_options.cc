#include "cli/compensation_options.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/calibration_text.h"
#include "cli/model_options.h"
#include "cli/session.h"
#include "tools/calibrate/compensation_factors.h"
#include "tools/calibrate/window_reader.h"
#include "tools/quantize/build_identity.h"

namespace sluice::cli {
namespace {

// For the slabs of a build and the values of a step on their way.
constexpr uint64_t kBesideProducts = uint64_t{256} << 20;

// The source model and its text. What it lends out (binding, itself as the reader) lives as long.
class SourceRuns : public quantize::CompensationSource {
 public:
  SourceRuns(const Console& console, std::unique_ptr<LoadedModel> loaded, ModelOptions options)
      : console_(console), loaded_(std::move(loaded)), options_(std::move(options)) {}

  Status prepare(const CompensationOptions& options, bool draft) {
    SLUICE_ASSIGN(text_, read_calibration_text(options.text_file, loaded_->files,
                                               loaded_->binding.config.vocabulary, options_.context,
                                               TextRest::kRead));
    if (options.max_tokens) text_.cut_to(static_cast<uint64_t>(*options.max_tokens));
    shape_.context = options_.context;
    shape_.kv = ops::KvFormat::kF32;
    shape_.draft_depth = draft ? 1 : 0;
    options_.draft_depth = draft ? "1" : "0";
    const uint64_t resident = resident_bytes(loaded_->files);
    const auto plan = runtime::plan_memory(loaded_->binding, *loaded_->backend, shape_, resident);
    calibrate::CompensationRun run;
    run.text = std::filesystem::path(options.text_file).filename().string();
    run.tokens = text_.window_tokens();
    run.identity = own_identity();
    run.draft = draft;
    const uint64_t taken = plan.total() + kBesideProducts;
    run.budget =
        options.memory.value_or(plan.available > taken ? plan.available - taken : uint64_t{0});
    run.announce = [this, model = plan.total()](const calibrate::ProductPlan& products) {
      announce(products, model);
    };
    run.read = [this](size_t pass, const auto& make_tap) { return read(pass, make_tap); };
    factors_.emplace(loaded_->binding, std::move(run));
    return {};
  }

  Status expect(std::span<const std::string> modules) override { return factors_->expect(modules); }
  Result<std::shared_ptr<const quantize::CompensationFactor>> factor(const std::string& module,
                                                                     ThreadPool& pool) override {
    return factors_->factor(module, pool);
  }
  std::string text() const override { return factors_->text(); }
  uint64_t tokens() const override { return factors_->tokens(); }
  std::string identity() const override { return factors_->identity(); }

 private:
  // The windows say all of text, tokens and context. Sums of a forward pass differ from one
  // instruction set to the next.
  std::string own_identity() const {
    quantize::IdentityHash hash;
    hash.add("gptq");
    hash.add(loaded_->backend->info().name);
    hash.add(loaded_->backend->info().instruction_set);
    for (const auto window : text_.windows) hash.add(std::as_bytes(window));
    return hash.hex();
  }

  void announce(const calibrate::ProductPlan& products, uint64_t model) {
    passes_ = products.passes.size();
    if (console_.settings().quiet || passes_ == 0) return;
    fmt::print(
        stderr,
        "sluice: reads {} tokens of calibration text in {} pass{}; the source model takes {} "
        "meanwhile, products of inputs at most {}\n",
        text_.window_tokens(), passes_, passes_ == 1 ? "" : "es", runtime::format_bytes(model),
        runtime::format_bytes(products.most_bytes));
  }

  Status read(size_t pass, const calibrate::CompensationRun::MakeTap& make_tap) {
    SLUICE_TRY(finish_loading(console_, options_, *loaded_, shape_));
    const Status status = read_windows(pass, make_tap);
    loaded_->model.reset();  // its memory is what the factors are made in
    return status;
  }

  Status read_windows(size_t pass, const calibrate::CompensationRun::MakeTap& make_tap) {
    SLUICE_ASSIGN(auto reader, calibrate::WindowReader::create(*loaded_->model, options_.context,
                                                               ops::KvFormat::kF32));
    const auto tap = make_tap(*loaded_->backend);
    for (size_t i = 0; i < text_.windows.size(); ++i) {
      if (interrupt_count() > 0)
        return Error{ErrorCode::kInterrupted, "the calibration", "interrupted", {}};
      console_.progress(fmt::format("calibration pass {} of {}: window {} of {}", pass + 1, passes_,
                                    i + 1, text_.windows.size()));
      reader->read(text_.windows[i], *tap);
    }
    console_.clear_progress();
    return {};
  }

  const Console& console_;
  std::unique_ptr<LoadedModel> loaded_;
  ModelOptions options_;
  CalibrationText text_;
  runtime::EngineShape shape_;
  size_t passes_ = 0;
  std::optional<calibrate::CompensationFactors> factors_;
};

}  // namespace

void CompensationOptions::declare(CLI::App& app) {
  app.add_option("--method", method,
                 "plain: each weight to its nearest code; gptq: errors are made up for by the "
                 "columns that follow (FP8, NVFP4 and W4A8 in safetensors)")
      ->check(CLI::IsMember({"plain", "gptq"}))
      ->capture_default_str();
  app.add_option("--calibration-text", text_file,
                 "gptq: what the source model reads, a plain text or .jsonl as for calibrate");
  app.add_option("--calibration-tokens", max_tokens, "reads so many tokens of it (default: all)")
      ->check(CLI::PositiveNumber);
  app.add_option("--calibration-context", context,
                 "tokens of a window of it, each from an empty state")
      ->check(CLI::Range(int64_t{4}, int64_t{1} << 20))
      ->capture_default_str();
  app.add_option("--calibration-memory", memory,
                 "bytes for products of inputs; fewer make more passes over the text (default: "
                 "what the source model leaves)");
}

Status CompensationOptions::check() const {
  if (compensates() && text_file.empty()) {
    return usage_error("--method gptq", "it learns from what the model reads, and there is no text",
                       "Name one with --calibration-text");
  }
  if (!compensates() && (!text_file.empty() || max_tokens || memory)) {
    return usage_error("--calibration-text", "--method plain reads no text",
                       "Add --method gptq or leave it out");
  }
  return {};
}

Result<std::unique_ptr<quantize::CompensationSource>> CompensationOptions::open(
    const Console& console, const std::filesystem::path& source, int threads, bool draft) const {
  ModelOptions options;
  options.model = source.string();
  options.threads = threads;
  options.kv = "f32";  // one window long: exact values cost nothing
  options.activations = "wide";
  SLUICE_ASSIGN(auto loaded, prepare_model(console, options));
  options.context = std::min(context, loaded->binding.config.context);
  auto runs = std::make_unique<SourceRuns>(console, std::move(loaded), std::move(options));
  SLUICE_TRY(runs->prepare(*this, draft));
  return std::unique_ptr<quantize::CompensationSource>(std::move(runs));
}

}  // namespace sluice::cli
