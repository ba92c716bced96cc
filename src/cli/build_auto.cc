#include "cli/build_auto.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/memory.h"
#include "cli/model_options.h"
#include "cli/prompt_input.h"
#include "cli/session.h"
#include "tools/eval/perplexity.h"
#include "tools/eval/row_file.h"
#include "tools/quantize/automatic.h"

namespace sluice::cli {
namespace {

constexpr uint64_t kMaxTextBytes = uint64_t{1} << 30;

// The source on a text, and how far it is from itself with some of its matrices replaced.
class DivergenceProbe {
 public:
  // `out`: where the build will be, on whose disk the source's distributions wait. `probes`: all
  // that measure() will be asked for, without bytes.
  static Result<std::unique_ptr<DivergenceProbe>> open(
      const Console& console, const std::filesystem::path& path, const std::filesystem::path& out,
      const std::string& text_file, const AutoOptions& options, const ProofOptions& proof,
      std::span<const quantize::ReplacedMatrices> probes) {
    auto probe = std::make_unique<DivergenceProbe>();
    probe->options_.model = path.string();
    probe->options_.threads = proof.threads;
    probe->context_ = proof.context;
    SLUICE_ASSIGN(const std::string text, read_file(text_file, kMaxTextBytes));
    SLUICE_ASSIGN(probe->source_, prepare_model(console, probe->options_));
    SLUICE_ASSIGN(probe->tokens_, encode_text(text, probe->source_->files));
    if (probe->tokens_.size() > static_cast<size_t>(options.max_tokens))
      probe->tokens_.resize(static_cast<size_t>(options.max_tokens));
    probe->context_ = std::min(probe->context_, static_cast<int64_t>(probe->tokens_.size()));
    SLUICE_ASSIGN(probe->plan_, tools::cut_windows(probe->tokens_, probe->context_,
                                                   tools::ScoredRows::kSecondHalf));
    SLUICE_TRY(probe->plan_memory(console, proof, probes));
    SLUICE_ASSIGN(probe->base_, tools::RowFile::create(out.parent_path(), probe->scored_rows(),
                                                       probe->vocabulary()));
    SLUICE_TRY(probe->run(probe->source_->binding,
                          [&](const auto& row, int32_t) { return probe->base_->append(row); }));
    return probe;
  }

  size_t tokens() const { return base_->rows(); }

  Result<double> measure(const quantize::ReplacedMatrices& replaced) {
    tools::DivergenceSum sum;
    std::vector<float> theirs(static_cast<size_t>(vocabulary()));
    uint64_t row = 0;
    const auto compare = [&](std::span<const float> ours, int32_t token) -> Status {
      SLUICE_TRY(base_->read(row++, theirs));
      sum.add(theirs, ours, token);
      return {};
    };
    SLUICE_TRY(run(with(replaced), compare));
    return sum.result().mean;
  }

 private:
  int64_t vocabulary() const { return source_->binding.config.vocabulary; }

  uint64_t scored_rows() const {
    return plan_.windows.size() * static_cast<uint64_t>(context_ - plan_.first_scored - 1);
  }

  model::Binding with(const quantize::ReplacedMatrices& replaced) const {
    model::Binding binding = source_->binding;
    for (model::BoundWeight& weight : binding.weights) {
      const auto found = replaced.find(weight.role);
      if (found != replaced.end()) weight.matrix = found->second;
    }
    return binding;
  }

  // The source alone, then each probe with the matrices that it is loaded from.
  Status plan_memory(const Console& console, const ProofOptions& proof,
                     std::span<const quantize::ReplacedMatrices> probes) const {
    runtime::EngineShape shape;
    shape.context = context_;
    SLUICE_ASSIGN(shape.kv, options_.kv_format(*source_->backend));
    const uint64_t resident =
        resident_bytes(source_->files) +
        tools::WindowRunner::bytes_beside_plan(source_->binding.config, context_, 0);
    const auto needed = [&](const model::Binding& binding) {
      return runtime::plan_memory(binding, *source_->backend, shape, resident).total();
    };
    uint64_t most = needed(source_->binding);
    for (const quantize::ReplacedMatrices& replaced : probes) {
      uint64_t values = 0;
      for (const auto& [role, matrix] : replaced)
        values += static_cast<uint64_t>(matrix.rows * matrix.columns) * sizeof(uint16_t);
      most = std::max(most, needed(with(replaced)) + values);
    }
    const uint64_t free = available_memory(), there = std::min(free, proof.memory.value_or(free));
    if (most > there) {
      return Error{ErrorCode::kDoesNotFit, source_->files.path.string(),
                   fmt::format("the largest probe needs {}, and {} are there",
                               runtime::format_bytes(most), runtime::format_bytes(there)),
                   "Free memory, or lower --report-context"};
    }
    if (!console.settings().quiet) {
      fmt::print(stderr,
                 "sluice: {} probes of {} scored tokens take at most {}, with {} of distributions "
                 "on disk\n",
                 probes.size(), scored_rows(), runtime::format_bytes(most),
                 runtime::format_bytes(tools::RowFile::bytes(scored_rows(), vocabulary())));
    }
    return {};
  }

  // Calls `use` with the log-probabilities of each scored row and the token that came.
  template <typename Use>
  Status run(const model::Binding& binding, const Use& use) {
    SLUICE_ASSIGN(const auto backend_options, options_.backend_options());
    SLUICE_ASSIGN(const auto backend, backend::create(backend_options));
    SLUICE_ASSIGN(const auto kv, options_.kv_format(*backend));
    model::LoadOptions load;
    load.with_mtp = false;
    SLUICE_ASSIGN(const auto model,
                  model::TextModel::load(*source_->files.checkpoint, binding, *backend, load));
    SLUICE_ASSIGN(const auto runner, tools::WindowRunner::create(*model, context_, kv, 0));
    tools::WindowRunner::Rows rows;
    for (const auto window : plan_.windows) {
      runner->begin(window, plan_.first_scored);
      while (runner->next(rows)) {
        if (interrupt_count() > 0)
          return Error{ErrorCode::kInterrupted, "the probes", "interrupted", {}};
        const size_t vocabulary = rows.log_probabilities.size() / static_cast<size_t>(rows.count);
        for (int64_t r = 0; r < rows.count; ++r) {
          SLUICE_TRY(use(std::span<const float>(rows.log_probabilities)
                             .subspan(static_cast<size_t>(r) * vocabulary, vocabulary),
                         window[static_cast<size_t>(rows.first_position + r + 1)]));
        }
      }
    }
    return {};
  }

  ModelOptions options_;
  int64_t context_ = 0;
  std::unique_ptr<LoadedModel> source_;  // its files and binding; no weights are loaded into it
  std::vector<int32_t> tokens_;
  tools::WindowPlan plan_;
  std::optional<tools::RowFile> base_;  // the source's distributions
};

}  // namespace

Result<uint64_t> parse_bytes(std::string_view text, const std::string& flag) {
  const auto refuse = [&] {
    return usage_error(flag, fmt::format("\"{}\" is no number of bytes", text),
                       "Write it like 18GB, 16GiB or 500000000");
  };
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  std::string suffix(stop, end);
  std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (suffix.ends_with('b')) suffix.pop_back();
  double factor = 1;
  if (!suffix.empty()) {
    constexpr std::string_view kLetters = "kmgt";
    const size_t letter = kLetters.find(suffix.front());
    if (letter == std::string_view::npos || (suffix.size() > 1 && suffix.substr(1) != "i"))
      return refuse();
    factor = std::pow(suffix.size() > 1 ? 1024.0 : 1000.0, static_cast<double>(letter + 1));
  }
  const double bytes = number * factor;
  if (error != std::errc() || !(bytes >= 1) || bytes > 1e18) return refuse();
  return static_cast<uint64_t>(bytes);
}

void AutoOptions::declare(CLI::App& app) {
  auto* budget = app.add_option("--auto", bytes,
                                "chooses a format for each part by measured sensitivity, so that "
                                "the weights' files have at most these bytes (18GB, 16GiB)");
  app.add_option("--auto-kld", divergence,
                 "the same for the smallest build with this mean KL divergence")
      ->check(CLI::PositiveNumber)
      ->excludes(budget);
  app.add_option("--auto-text", text_file,
                 "the text to measure sensitivity on (default: that of --report-text)");
  app.add_option("--auto-tokens", max_tokens, "uses so many tokens of that text")
      ->check(CLI::Range(int64_t{8}, int64_t{1} << 20))
      ->capture_default_str();
}

Status AutoOptions::check(const ProofOptions& proof) const {
  const char* flag = divergence ? "--auto-kld" : "--auto";
  if (text_file.empty() && proof.text_file.empty())
    return usage_error(flag, "needs a text to measure on", "Name one with --report-text");
  if (divergence && proof.text_file.empty())
    return usage_error(flag, "needs a text to check the result on", "Name one with --report-text");
  return {};
}

Status choose_formats(const Console& console, const convert::Source& source,
                      const AutoOptions& options, const ProofOptions& proof, ThreadPool& pool,
                      quantize::BuildRequest& request) {
  SLUICE_TRY(options.check(proof));
  quantize::AutomaticLimit limit;
  limit.divergence = options.divergence;
  if (!options.bytes.empty()) {
    SLUICE_ASSIGN(limit.bytes, parse_bytes(options.bytes, "--auto"));
  }
  const std::string& text = options.text_file.empty() ? proof.text_file : options.text_file;
  std::error_code error;
  std::filesystem::path out = std::filesystem::absolute(request.out, error).lexically_normal();
  if (!out.has_filename()) out = out.parent_path();  // "folder/"
  if (!std::filesystem::is_directory(out.parent_path(), error)) {
    return usage_error(request.out.string(),
                       fmt::format("there is no folder {}", out.parent_path().string()),
                       "Make the folder first");
  }
  // Opened with the first probe: a limit that nothing can keep is refused before that.
  std::unique_ptr<DivergenceProbe> probe;
  quantize::Probing probing;
  probing.plan = [&](std::span<const quantize::ReplacedMatrices> probes) -> Status {
    SLUICE_ASSIGN(probe,
                  DivergenceProbe::open(console, source.path, out, text, options, proof, probes));
    return {};
  };
  probing.measure = [&](const quantize::ReplacedMatrices& replaced) {
    return probe->measure(replaced);
  };
  probing.progress = [&](size_t done, size_t total) {
    console.progress(fmt::format("probe {} of {}", done + 1, total));
    return interrupt_count() == 0;
  };
  SLUICE_ASSIGN(request.automatic, quantize::choose_formats(source, request, limit, probing, pool));
  console.clear_progress();
  request.automatic->text = std::filesystem::path(text).filename().string();
  request.automatic->tokens = probe != nullptr ? probe->tokens() : 0;
  return {};
}

Status check_divergence(const Console& console, const AutoOptions& options,
                        const ProofOptions& proof, quantize::BuildReport& report) {
  if (!options.divergence || !report.proof || report.proof->kld_mean <= *options.divergence)
    return {};
  const Error refusal{ErrorCode::kRefused, "--auto-kld",
                      fmt::format("the mean divergence of the result is {:.3g}, {:.3g} was asked "
                                  "for and {:.3g} estimated",
                                  report.proof->kld_mean, *options.divergence,
                                  report.automatic ? report.automatic->divergence : 0.0),
                      fmt::format("Ask for less, or add --accept {}", kDivergenceGate)};
  const auto& accepted = proof.accepted;
  if (std::find(accepted.begin(), accepted.end(), kDivergenceGate) == accepted.end())
    return refusal;
  console.warn(refusal.what + ": " + refusal.why);
  report.notes.push_back("written against the gate " + std::string(kDivergenceGate));
  return {};
}

}  // namespace sluice::cli
