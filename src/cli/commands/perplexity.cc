// sluice perplexity: how well a model predicts a text, and how far it is from another build.
#include "tools/eval/perplexity.h"

#include <fmt/format.h>

#include <optional>

#include "base/file.h"
#include "cli/command.h"
#include "cli/prompt_input.h"
#include "cli/session.h"

namespace sluice::cli {
namespace {

// The distributions to compare with: rows of a file, or of a second model that reads the same
// windows.
struct Base {
  std::optional<tools::DistributionReader> file;
  std::unique_ptr<LoadedModel> model;
  std::unique_ptr<tools::WindowRunner> runner;
};

class PerplexityCommand : public Command {
 public:
  void declare(CLI::App& app) override {
    model_.declare(app);
    app.get_option("--context")->description("tokens of context per window (default 2048)");
    prompt_.declare(app, false);
    app.add_option("--max-tokens", max_tokens_, "uses so many tokens of the text")
        ->check(CLI::PositiveNumber);
    app.add_option(
           "--score", score_,
           "half: the second half of each window (as llama.cpp); all: all but the first token")
        ->check(CLI::IsMember({"half", "all"}))
        ->capture_default_str();
    app.add_option("--save-logits", save_,
                   "writes the distributions, 16 bit (docs/formats/distributions.md)");
    app.add_option("--against", against_,
                   "a file of --save-logits, or a model: adds the divergence from it");
    app.add_flag("--mtp", mtp_,
                 "adds acceptance of greedy drafts by position, the text being forced");
    app.add_flag("--overwrite", overwrite_, "replaces the file of --save-logits if it exists");
  }

  Status run(const Console& console) override {
    if (model_.context == 0) model_.context = 2048;
    if (model_.draft_depth == "auto") model_.draft_depth = mtp_ ? "3" : "0";
    SLUICE_ASSIGN(const auto loaded, prepare_model(console, model_));
    if (mtp_ && !loaded->binding.mtp_usable)
      return bad_input(loaded->files.path.string(), "has no usable draft head, which --mtp needs");
    SLUICE_ASSIGN(std::vector<int32_t> tokens,
                  prompt_.tokens(loaded->files, loaded->binding.config.vocabulary));
    if (max_tokens_ && static_cast<size_t>(*max_tokens_) < tokens.size())
      tokens.resize(static_cast<size_t>(*max_tokens_));
    const auto scored = score_ == "all" ? tools::ScoredRows::kAll : tools::ScoredRows::kSecondHalf;
    SLUICE_ASSIGN(const auto windows, tools::cut_windows(tokens, model_.context, scored));
    runtime::EngineShape shape;
    shape.context = model_.context;
    SLUICE_TRY(finish_loading(console, model_, *loaded, shape));
    SLUICE_ASSIGN(const Base base, open_base(console, windows, tokens, *loaded));
    SLUICE_ASSIGN(auto runner,
                  tools::WindowRunner::create(*loaded->model, model_.context, loaded->shape.kv,
                                              mtp_ ? loaded->shape.draft_depth : 0));
    std::optional<tools::DistributionWriter> writer;
    if (save_) {
      const tools::DistributionHeader header{
          static_cast<uint32_t>(loaded->binding.config.vocabulary),
          static_cast<uint32_t>(windows.context), static_cast<uint32_t>(windows.first_scored),
          tokens};
      SLUICE_ASSIGN(writer, tools::DistributionWriter::create(*save_, header, overwrite_));
    }
    return score(console, windows, base, *runner, writer);
  }

 private:
  Result<Base> open_base(const Console& console, const tools::WindowPlan& windows,
                         const std::vector<int32_t>& tokens, const LoadedModel& ours) {
    Base base;
    if (!against_) return base;
    const auto vocabulary = ours.binding.config.vocabulary;
    if (tools::DistributionReader::recognises(*against_)) {
      SLUICE_ASSIGN(base.file, tools::DistributionReader::open(*against_));
      const tools::DistributionHeader& header = base.file->header();
      if (header.tokens != tokens || header.context != windows.context ||
          header.first_scored != windows.first_scored || header.vocabulary != vocabulary) {
        return bad_input(*against_, "was made from another text, context, scoring or vocabulary",
                         "Make it again with the same flags");
      }
      return base;
    }
    ModelOptions options = model_;
    options.model = *against_;
    options.draft_depth = "0";
    runtime::EngineShape shape;
    shape.context = model_.context;
    SLUICE_ASSIGN(base.model, load_model(console, options, shape));
    if (base.model->binding.config.vocabulary != vocabulary) {
      return bad_input(*against_, fmt::format("has a vocabulary of {}, not {}",
                                              base.model->binding.config.vocabulary, vocabulary));
    }
    SLUICE_ASSIGN(base.runner, tools::WindowRunner::create(*base.model->model, model_.context,
                                                           base.model->shape.kv, 0));
    return base;
  }

  Status score(const Console& console, const tools::WindowPlan& windows, const Base& base,
               tools::WindowRunner& runner,
               std::optional<tools::DistributionWriter>& writer) const {
    tools::PerplexitySum perplexity;
    tools::DivergenceSum divergence;
    uint64_t row = 0;
    std::vector<float> reference;
    tools::WindowRunner::Rows rows, base_rows;
    for (size_t i = 0; i < windows.windows.size(); ++i) {
      const auto window = windows.windows[i];
      runner.begin(window, windows.first_scored);
      if (base.runner) base.runner->begin(window, windows.first_scored);
      while (runner.next(rows)) {
        if (interrupt_count() > 0)
          return Error{ErrorCode::kInterrupted, "perplexity", "interrupted", {}};
        if (base.runner) base.runner->next(base_rows);
        const size_t vocabulary = rows.log_probabilities.size() / static_cast<size_t>(rows.count);
        for (int64_t r = 0; r < rows.count; ++r, ++row) {
          const auto row_of = [&](const std::vector<float>& values) {
            return std::span(values).subspan(static_cast<size_t>(r) * vocabulary, vocabulary);
          };
          const auto values = row_of(rows.log_probabilities);
          const int32_t token = window[static_cast<size_t>(rows.first_position + r + 1)];
          perplexity.add(-static_cast<double>(values[static_cast<size_t>(token)]));
          if (base.file && row < base.file->rows()) {
            reference.resize(vocabulary);
            base.file->read(row, reference);
            divergence.add(reference, values, token);
          } else if (base.runner) {
            divergence.add(row_of(base_rows.log_probabilities), values, token);
          }
          if (writer) SLUICE_TRY(writer->add(values));
        }
      }
      console.progress(fmt::format("window {} of {}, perplexity {:.4f}", i + 1,
                                   windows.windows.size(), perplexity.result().ppl));
    }
    console.clear_progress();
    if (writer) SLUICE_TRY(writer->commit());
    print(console, perplexity.result(),
          against_ ? std::optional(divergence.result()) : std::nullopt, runner);
    return {};
  }

  void print(const Console& console, const tools::Perplexity& perplexity,
             const std::optional<tools::Divergence>& divergence,
             const tools::WindowRunner& runner) const {
    Json result = Json::object();
    result.set("tokens", perplexity.tokens);
    result.set("nll", perplexity.nll);
    result.set("ppl", perplexity.ppl);
    result.set("ppl_stderr", perplexity.ppl_stderr);
    std::string plain = fmt::format(
        "tokens {}\nperplexity {:.4f} +- {:.4f} (mean negative log-likelihood {:.5f})\n",
        perplexity.tokens, perplexity.ppl, perplexity.ppl_stderr, perplexity.nll);
    if (divergence) {
      Json kld = Json::object();
      kld.set("mean", divergence->mean);
      kld.set("stderr", divergence->standard_error);
      kld.set("median", divergence->median);
      kld.set("p99", divergence->p99);
      kld.set("p99_9", divergence->p99_9);
      kld.set("max", divergence->maximum);
      result.set("kld", std::move(kld));
      result.set("same_top", divergence->same_top);
      result.set("rms_dp", divergence->rms_dp);
      plain += fmt::format(
          "KL divergence mean {:.6f} +- {:.6f}, median {:.6f}, 99 % {:.6f}, 99.9 % {:.6f}, max "
          "{:.6f}\n"
          "same top token {:.3f} %, RMS difference of probability {:.3f} %\n",
          divergence->mean, divergence->standard_error, divergence->median, divergence->p99,
          divergence->p99_9, divergence->maximum, 100 * divergence->same_top,
          100 * divergence->rms_dp);
    }
    if (mtp_) {
      Json proposed = Json::array(), accepted = Json::array();
      for (size_t i = 0; i < runner.drafts_proposed().size(); ++i) {
        proposed.push_back(runner.drafts_proposed()[i]);
        accepted.push_back(runner.drafts_accepted()[i]);
        plain += fmt::format("draft position {}: {} of {} accepted\n", i + 1,
                             runner.drafts_accepted()[i], runner.drafts_proposed()[i]);
      }
      Json mtp = Json::object();
      mtp.set("proposed", std::move(proposed));
      mtp.set("accepted", std::move(accepted));
      result.set("mtp", std::move(mtp));
    }
    if (console.settings().json) {
      console.print_json(result);
    } else {
      console.print(plain);
    }
  }

  ModelOptions model_;
  PromptInput prompt_;
  std::string score_ = "half";
  std::optional<std::string> save_, against_;
  std::optional<int64_t> max_tokens_;
  bool mtp_ = false, overwrite_ = false;
};

}  // namespace

std::unique_ptr<Command> make_perplexity() { return std::make_unique<PerplexityCommand>(); }

}  // namespace sluice::cli
