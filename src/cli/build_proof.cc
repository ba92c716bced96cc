#include "cli/build_proof.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/file.h"
#include "cli/model_options.h"
#include "cli/prompt_input.h"
#include "cli/session.h"
#include "tools/eval/perplexity.h"

namespace sluice::cli {
namespace {

constexpr uint64_t kMaxTextBytes = uint64_t{1} << 30;
constexpr const char* kDraftDepth = "3";
constexpr double kLeastAcceptance = 0.9;
constexpr const char* kDraftGate = "draft-acceptance";

struct Side {
  std::unique_ptr<LoadedModel> model;
  std::unique_ptr<tools::WindowRunner> runner;
  tools::PerplexitySum perplexity;

  std::vector<double> acceptance() const {
    std::vector<double> out;
    const auto& proposed = runner->drafts_proposed();
    const auto& accepted = runner->drafts_accepted();
    for (size_t i = 0; i < proposed.size(); ++i) {
      if (proposed[i] > 0)
        out.push_back(static_cast<double>(accepted[i]) / static_cast<double>(proposed[i]));
    }
    return out;
  }
};

Result<Side> open_side(const Console& console, const std::filesystem::path& path,
                       const ProofOptions& options) {
  Side side;
  ModelOptions model;
  model.model = path.string();
  model.threads = options.threads;
  model.context = options.context;
  model.draft_depth = kDraftDepth;
  runtime::EngineShape shape;
  shape.context = options.context;
  SLUICE_ASSIGN(side.model, load_model(console, model, shape));
  const int depth = side.model->binding.mtp_usable ? side.model->shape.draft_depth : 0;
  SLUICE_ASSIGN(side.runner, tools::WindowRunner::create(*side.model->model, options.context,
                                                         side.model->shape.kv, depth));
  return side;
}

Result<quantize::Proof> prove(const Console& console, const std::filesystem::path& source,
                              const std::filesystem::path& result, const ProofOptions& options) {
  SLUICE_ASSIGN(const std::string text, read_file(options.text_file, kMaxTextBytes));
  SLUICE_ASSIGN(Side before, open_side(console, source, options));
  SLUICE_ASSIGN(Side after, open_side(console, result, options));
  SLUICE_ASSIGN(auto tokens, encode_text(text, before.model->files));
  if (options.max_tokens > 0 && tokens.size() > static_cast<size_t>(options.max_tokens))
    tokens.resize(static_cast<size_t>(options.max_tokens));
  SLUICE_ASSIGN(const auto plan,
                tools::cut_windows(tokens, options.context, tools::ScoredRows::kSecondHalf));
  tools::DivergenceSum divergence;
  tools::WindowRunner::Rows rows, base;
  for (size_t i = 0; i < plan.windows.size(); ++i) {
    const auto window = plan.windows[i];
    before.runner->begin(window, plan.first_scored);
    after.runner->begin(window, plan.first_scored);
    while (after.runner->next(rows)) {
      if (interrupt_count() > 0)
        return Error{ErrorCode::kInterrupted, "the proof", "interrupted", {}};
      before.runner->next(base);
      const size_t vocabulary = rows.log_probabilities.size() / static_cast<size_t>(rows.count);
      for (int64_t r = 0; r < rows.count; ++r) {
        const auto row_of = [&](const std::vector<float>& values) {
          return std::span(values).subspan(static_cast<size_t>(r) * vocabulary, vocabulary);
        };
        const int32_t token = window[static_cast<size_t>(rows.first_position + r + 1)];
        const auto ours = row_of(rows.log_probabilities), theirs = row_of(base.log_probabilities);
        after.perplexity.add(-static_cast<double>(ours[static_cast<size_t>(token)]));
        before.perplexity.add(-static_cast<double>(theirs[static_cast<size_t>(token)]));
        divergence.add(theirs, ours, token);
      }
    }
    before.runner->next(base);  // false: the window is over, now its drafts are counted
    console.progress(fmt::format("proof: window {} of {}", i + 1, plan.windows.size()));
  }
  console.clear_progress();
  const tools::Divergence kld = divergence.result();
  quantize::Proof proof;
  proof.text = std::filesystem::path(options.text_file).filename().string();
  proof.tokens = static_cast<uint64_t>(after.perplexity.result().tokens);
  proof.ppl_before = before.perplexity.result().ppl;
  proof.ppl_after = after.perplexity.result().ppl;
  proof.kld_mean = kld.mean;
  proof.kld_p99 = kld.p99;
  proof.kld_p99_9 = kld.p99_9;
  proof.same_top = kld.same_top;
  proof.acceptance_before = before.acceptance();
  proof.acceptance_after = after.acceptance();
  return proof;
}

Status check_draft_gate(const quantize::Proof& proof) {
  if (proof.acceptance_before.empty() || proof.acceptance_after.empty()) return {};
  const double before = proof.acceptance_before.front(), after = proof.acceptance_after.front();
  if (after >= kLeastAcceptance * before) return {};
  return Error{ErrorCode::kRefused, "the draft head",
               fmt::format("{:.1f} % of its first drafts hold, {:.1f} % of the source's do",
                           100 * after, 100 * before),
               fmt::format("Keep the source's head in BF16, or add --accept {}", kDraftGate)};
}

}  // namespace

void ProofOptions::declare(CLI::App& app) {
  app.add_option("--report-text", text_file,
                 "measures result against source on this text: divergence, perplexity, drafts");
  app.add_option("--report-context", context, "tokens of a window of that text")
      ->check(CLI::Range(int64_t{4}, int64_t{1} << 20))
      ->capture_default_str();
  app.add_option("--report-tokens", max_tokens, "uses so many tokens of that text")
      ->check(CLI::PositiveNumber);
  std::vector<std::string> gates = more_gates;
  gates.emplace_back(kDraftGate);
  app.add_option("--accept", accepted, "writes the build although this gate refuses it")
      ->check(CLI::IsMember(gates));
}

Status judge(const Console& console, const std::filesystem::path& source,
             const std::filesystem::path& result, const ProofOptions& options,
             quantize::BuildReport& report) {
  SLUICE_ASSIGN(report.proof, prove(console, source, result, options));
  const Status gate = check_draft_gate(*report.proof);
  const auto& accepted = options.accepted;
  if (gate.ok() || std::find(accepted.begin(), accepted.end(), kDraftGate) == accepted.end())
    return gate;
  console.warn(gate.error().what + ": " + gate.error().why);
  report.notes.push_back("written against the gate " + std::string(kDraftGate));
  return {};
}

}  // namespace sluice::cli
