#include "cli/build_proof.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "base/memory.h"
#include "cli/prompt_input.h"
#include "cli/proof_side.h"
#include "tools/eval/row_file.h"

namespace sluice::cli {
namespace {

namespace fs = std::filesystem;
using tools::WindowRunner;

constexpr uint64_t kMaxTextBytes = uint64_t{1} << 30;
constexpr double kLeastAcceptance = 0.9;
constexpr const char* kDraftGate = "draft-acceptance";

// A text as one model's tokenizer cuts it.
struct ProofText {
  std::vector<int32_t> tokens;
  tools::WindowPlan plan;

  static Result<ProofText> read(const std::string& text, const ModelFiles& files,
                                const ProofOptions& options) {
    ProofText out;
    SLUICE_ASSIGN(out.tokens, encode_text(text, files));
    if (options.max_tokens > 0 && out.tokens.size() > static_cast<size_t>(options.max_tokens))
      out.tokens.resize(static_cast<size_t>(options.max_tokens));
    SLUICE_ASSIGN(out.plan,
                  tools::cut_windows(out.tokens, options.context, tools::ScoredRows::kSecondHalf));
    return out;
  }

  uint64_t scored() const {
    uint64_t rows = 0;
    for (const auto window : plan.windows)
      rows += window.size() - static_cast<size_t>(plan.first_scored) - 1;
    return rows;
  }
};

// The source's distributions, window by window in the blocks of a WindowRunner.
class Reference {
 public:
  virtual ~Reference() = default;
  virtual void begin(std::span<const int32_t> window, int64_t first_scored) = 0;
  virtual Status next(int64_t count, WindowRunner::Rows& rows) = 0;
  virtual void end() = 0;  // of a window whose rows were all taken
};

class LiveReference : public Reference {
 public:
  explicit LiveReference(WindowRunner& runner) : runner_(runner) {}
  void begin(std::span<const int32_t> window, int64_t first_scored) override {
    runner_.begin(window, first_scored);
  }
  Status next(int64_t, WindowRunner::Rows& rows) override {
    runner_.next(rows);
    return {};
  }
  void end() override {
    WindowRunner::Rows none;
    runner_.next(none);  // false: now its drafts are counted
  }

 private:
  WindowRunner& runner_;
};

class KeptReference : public Reference {
 public:
  KeptReference(const tools::RowFile& file, int64_t vocabulary)
      : file_(file), vocabulary_(static_cast<size_t>(vocabulary)) {}
  void begin(std::span<const int32_t>, int64_t) override {}
  Status next(int64_t count, WindowRunner::Rows& rows) override {
    rows.log_probabilities.resize(static_cast<size_t>(count) * vocabulary_);
    const uint64_t row = std::exchange(row_, row_ + static_cast<uint64_t>(count));
    return file_.read(row, rows.log_probabilities);
  }
  void end() override {}

 private:
  const tools::RowFile& file_;
  size_t vocabulary_;
  uint64_t row_ = 0;
};

Error interrupted_proof() { return {ErrorCode::kInterrupted, "the proof", "interrupted", {}}; }

Status check_draft_gate(const quantize::Proof& proof) {
  if (proof.acceptance_before.empty() || proof.acceptance_after.empty()) return {};
  const double before = proof.acceptance_before.front(), after = proof.acceptance_after.front();
  if (after >= kLeastAcceptance * before) return {};
  const std::string& whose = proof.drafts_before_of;
  return Error{ErrorCode::kRefused, "the draft head",
               fmt::format("{:.1f} % of its first drafts hold, {:.1f} % of the {}'s do",
                           100 * after, 100 * before, whose),
               fmt::format("{}, or add --accept {}",
                           whose == "source" ? "Keep the source's head in BF16"
                                             : "Take the head of a build of the same model",
                           kDraftGate)};
}

}  // namespace

struct BuildProof::State {
  const Console& console;
  ProofOptions options;
  std::string text;
  ProofText words;
  std::unique_ptr<ProofSide> source;  // until it has been read
  fs::path donor;  // empty: the source has a head of its own, or there is nothing to compare with

  uint64_t limit() const {
    const uint64_t free = available_memory();
    return options.memory ? std::min(*options.memory, free) : free;
  }

  // `beside`: of another side that is open, but not loaded.
  Status check_fits(const ProofSide& side, uint64_t beside = 0) const {
    const uint64_t needed = side.needed() + beside, there = limit();
    if (needed <= there) return {};
    return Error{ErrorCode::kDoesNotFit, side.name(),
                 fmt::format("needs {} while the text of the proof is read, and {} are there",
                             runtime::format_bytes(needed), runtime::format_bytes(there)),
                 "Free memory, lower --report-context, or leave --report-text out"};
  }

  void say(const std::string& line) const {
    if (!console.settings().quiet) fmt::print(stderr, "sluice: {}\n", line);
  }

  // Calls `use` with each block of rows of a model that is loaded.
  template <typename Use>
  Status read_alone(ProofSide& side, const ProofText& own, const Use& use) const {
    WindowRunner::Rows rows;
    for (size_t i = 0; i < own.plan.windows.size(); ++i) {
      side.runner().begin(own.plan.windows[i], own.plan.first_scored);
      while (side.runner().next(rows)) {
        if (interrupt_count() > 0) return interrupted_proof();
        SLUICE_TRY(use(rows));
      }
      console.progress(fmt::format("proof, {} alone: window {} of {}", side.name(), i + 1,
                                   own.plan.windows.size()));
    }
    return {};
  }

  Status compare(Reference& reference, ProofSide& result, quantize::Proof& proof) const {
    tools::DivergenceSum divergence;
    tools::PerplexitySum before, after;
    WindowRunner::Rows rows, base;
    for (size_t i = 0; i < words.plan.windows.size(); ++i) {
      const auto window = words.plan.windows[i];
      reference.begin(window, words.plan.first_scored);
      result.runner().begin(window, words.plan.first_scored);
      while (result.runner().next(rows)) {
        if (interrupt_count() > 0) return interrupted_proof();
        SLUICE_TRY(reference.next(rows.count, base));
        const size_t vocabulary = rows.log_probabilities.size() / static_cast<size_t>(rows.count);
        for (int64_t r = 0; r < rows.count; ++r) {
          const auto row_of = [&](const std::vector<float>& values) {
            return std::span(values).subspan(static_cast<size_t>(r) * vocabulary, vocabulary);
          };
          const int32_t token = window[static_cast<size_t>(rows.first_position + r + 1)];
          const auto ours = row_of(rows.log_probabilities), theirs = row_of(base.log_probabilities);
          after.add(-static_cast<double>(ours[static_cast<size_t>(token)]));
          before.add(-static_cast<double>(theirs[static_cast<size_t>(token)]));
          divergence.add(theirs, ours, token);
        }
      }
      reference.end();
      console.progress(fmt::format("proof: window {} of {}", i + 1, words.plan.windows.size()));
    }
    const tools::Divergence kld = divergence.result();
    proof.tokens = static_cast<uint64_t>(after.result().tokens);
    proof.ppl_before = before.result().ppl;
    proof.ppl_after = after.result().ppl;
    proof.kld_mean = kld.mean;
    proof.kld_p99 = kld.p99;
    proof.kld_p99_9 = kld.p99_9;
    proof.same_top = kld.same_top;
    proof.acceptance_after = result.acceptance();
    return {};
  }

  Status compare_together(ProofSide& result, quantize::Proof& proof) {
    SLUICE_TRY(source->load());
    SLUICE_TRY(result.load());
    LiveReference reference(source->runner());
    SLUICE_TRY(compare(reference, result, proof));
    proof.acceptance_before = source->acceptance();
    return {};
  }

  Status compare_in_turn(ProofSide& result, const fs::path& folder, quantize::Proof& proof) {
    SLUICE_TRY(check_fits(*source, result.opened()));
    SLUICE_TRY(check_fits(result, source->opened()));
    const int64_t vocabulary = source->config().vocabulary;
    SLUICE_ASSIGN(auto file, tools::RowFile::create(folder, words.scored(), vocabulary));
    SLUICE_TRY(source->load());
    SLUICE_TRY(read_alone(*source, words, [&](const WindowRunner::Rows& rows) {
      return file.append(rows.log_probabilities);
    }));
    proof.acceptance_before = source->acceptance();
    source.reset();
    SLUICE_TRY(result.load());
    KeptReference reference(file, vocabulary);
    return compare(reference, result, proof);
  }

  // What the grafted head drafts where it comes from, on the same text in that model's own tokens.
  Status read_donor(quantize::Proof& proof) const {
    SLUICE_ASSIGN(const auto side, ProofSide::open(console, donor, options));
    SLUICE_TRY(check_fits(*side));
    ProofText own;
    if (side->files().tokenizer) {
      SLUICE_ASSIGN(own, ProofText::read(text, side->files(), options));
    } else {
      own = words;  // spans of the original's tokens, which live as long as this object
    }
    SLUICE_TRY(side->load());
    SLUICE_TRY(read_alone(*side, own, [](const WindowRunner::Rows&) { return Status(); }));
    proof.acceptance_before = side->acceptance();
    proof.drafts_before_of = "donor";
    return {};
  }

  // Once: the source is given back on the way.
  Result<quantize::Proof> measure(const fs::path& model) {
    quantize::Proof proof;
    proof.text = fs::path(options.text_file).filename().string();
    ::malloc_trim(0);  // what the build has given back is there for the models
    SLUICE_ASSIGN(auto result, ProofSide::open(console, model, options));
    const uint64_t both = source->needed() + result->needed();
    const uint64_t turn =
        std::max(source->needed() + result->opened(), result->needed() + source->opened());
    const bool together = both <= limit();
    const std::string reads = fmt::format("the proof reads {} scored tokens", words.scored());
    if (together) {
      say(fmt::format("{}; source and result together take {}", reads,
                      runtime::format_bytes(both)));
      SLUICE_TRY(compare_together(*result, proof));
    } else {
      say(fmt::format("{}; source and result in turn take {}, with {} of distributions on disk",
                      reads, runtime::format_bytes(turn),
                      runtime::format_bytes(
                          tools::RowFile::bytes(words.scored(), source->config().vocabulary))));
      SLUICE_TRY(compare_in_turn(*result, model.parent_path(), proof));
    }
    source.reset();
    result.reset();
    if (!donor.empty() && !proof.acceptance_after.empty()) SLUICE_TRY(read_donor(proof));
    console.clear_progress();
    return proof;
  }
};

BuildProof::BuildProof() = default;
BuildProof::~BuildProof() = default;

Result<std::unique_ptr<BuildProof>> BuildProof::open(const Console& console, const fs::path& source,
                                                     const ProofOptions& options,
                                                     const fs::path& donor) {
  std::unique_ptr<BuildProof> proof(new BuildProof());
  proof->state_.reset(new State{console, options, {}, {}, {}, {}});
  State& state = *proof->state_;
  SLUICE_ASSIGN(state.text, read_file(options.text_file, kMaxTextBytes));
  SLUICE_ASSIGN(state.source, ProofSide::open(console, source, options));
  SLUICE_ASSIGN(state.words, ProofText::read(state.text, state.source->files(), options));
  SLUICE_TRY(state.check_fits(*state.source));
  if (!donor.empty() && !state.source->has_head()) {
    state.donor = donor;
    SLUICE_ASSIGN(const auto side, ProofSide::open(console, donor, options));
    SLUICE_TRY(state.check_fits(*side));
  }
  return proof;
}

Status BuildProof::judge(const fs::path& result, quantize::BuildReport& report) {
  SLUICE_ASSIGN(report.proof, state_->measure(result));
  const Status gate = check_draft_gate(*report.proof);
  const auto& accepted = state_->options.accepted;
  if (gate.ok() || std::find(accepted.begin(), accepted.end(), kDraftGate) == accepted.end())
    return gate;
  state_->console.warn(gate.error().what + ": " + gate.error().why);
  report.notes.push_back("written against the gate " + std::string(kDraftGate));
  return {};
}

void ProofOptions::declare(CLI::App& app) {
  app.add_option("--report-text", text_file,
                 "measures result against source on this text: divergence, perplexity, drafts");
  app.add_option("--report-context", context, "tokens of a window of that text")
      ->check(CLI::Range(int64_t{4}, int64_t{1} << 20))
      ->capture_default_str();
  app.add_option("--report-tokens", max_tokens, "uses so many tokens of that text")
      ->check(CLI::PositiveNumber);
  app.add_option("--report-memory", memory,
                 "bytes that the measured models may take; where both do not fit, they are loaded "
                 "in turn (default: what is free)");
  std::vector<std::string> gates = more_gates;
  gates.emplace_back(kDraftGate);
  app.add_option("--accept", accepted, "writes the build although this gate refuses it")
      ->check(CLI::IsMember(gates));
}

}  // namespace sluice::cli
