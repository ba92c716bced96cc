// sluice quantize: a smaller build, with the report of what it lost.
#include <fmt/format.h>

#include <optional>

#include "checkpoint/imatrix.h"
#include "cli/build_auto.h"
#include "cli/build_options.h"
#include "cli/build_proof.h"
#include "cli/command.h"
#include "cli/compensation_options.h"

namespace sluice::cli {
namespace {

class QuantizeCommand : public Command {
 public:
  void declare(CLI::App& app) override {
    build_.declare(app);
    std::string formats;
    for (const auto& mixture : quantize::mixtures())
      formats += fmt::format("{}{}", formats.empty() ? "" : " ", mixture.name);
    app.add_option("--to", to_,
                   fmt::format("GGUF: {}; safetensors: {}", formats, safetensors_names()))
        ->required();
    app.add_option("--layout", layout_, "official, compressed-tensors or modelopt")
        ->check(CLI::IsMember({"official", "compressed-tensors", "modelopt"}));
    app.add_option("--imatrix", imatrix_, "importance matrix, either file form");
    app.add_option("--ranges", ranges_, "activation ranges, for static activation scales");
    app.add_flag("--kv-scales", kv_scales_,
                 "scales for keys and values in FP8, from --ranges; safetensors builds");
    app.add_option("--keep-mtp", keep_mtp_, "the draft head: bf16, same (as the rest) or none")
        ->check(CLI::IsMember({"bf16", "same", "none"}))
        ->capture_default_str();
    vision_.declare(app);
    app.add_flag("--older-mixture", older_,
                 "types as llama.cpp chose them before March 2026, and ik_llama.cpp does");
    app.add_option("--search", search_,
                   "scales of NVFP4 and FP8 rows: none, four-over-six or sweep")
        ->check(CLI::IsMember({"none", "four-over-six", "sweep"}))
        ->capture_default_str();
    compensation_.declare(app);
    auto_.declare(app);
    proof_.more_gates.emplace_back(kDivergenceGate);
    proof_.declare(app);
  }

  Status run(const Console& console) override {
    SLUICE_ASSIGN(auto request, make_request());
    SLUICE_ASSIGN(const auto source, build_.open(console, vision_.beside()));
    SLUICE_ASSIGN(const int cores, build_.cores());
    quantize::BuildEvents events = build_.events(console);
    proof_.threads = cores;
    std::unique_ptr<BuildProof> proof;
    if (proof_.on()) {
      SLUICE_ASSIGN(proof, BuildProof::open(console, source.path, proof_));
      events.judge = [&](const std::filesystem::path& model,
                         quantize::BuildReport& report) -> Status {
        SLUICE_TRY(proof->judge(model, report));
        return check_divergence(console, auto_, proof_, report);
      };
    }
    ThreadPool pool(cores);
    if (auto_.on()) SLUICE_TRY(choose_formats(console, source, auto_, proof_, pool, request));
    if (compensation_.compensates()) {
      auto& safetensors = std::get<quantize::SafetensorsRequest>(request.how);
      const bool draft =
          source.binding.mtp_usable && safetensors.draft == quantize::DraftHead::kSame;
      SLUICE_ASSIGN(compensation_source_, compensation_.open(console, source.path, cores, draft));
      safetensors.compensation = compensation_source_.get();
    }
    SLUICE_ASSIGN(const auto report, quantize::make_build(source, request, pool, events));
    print_report(console, report, build_.out);
    return {};
  }

 private:
  static std::string safetensors_names() {
    std::string names;
    for (const auto& recipe : quantize::recipes()) {
      if (!recipe.layouts.empty())
        names += fmt::format("{}{}", names.empty() ? "" : " ", recipe.name);
    }
    // Of the other names that find_recipe() knows the one that people try first.
    return names + ", fp8 (" + std::string(quantize::find_recipe("fp8")->name) + ")";
  }

  Result<quantize::BuildRequest> make_request() {
    SLUICE_TRY(compensation_.check());
    quantize::BuildRequest request;
    request.out = build_.out;
    request.overwrite = build_.overwrite;
    const auto draft = keep_mtp_ == "bf16"   ? quantize::DraftHead::kBf16
                       : keep_mtp_ == "same" ? quantize::DraftHead::kSame
                                             : quantize::DraftHead::kNone;
    std::string importance_file;
    if (imatrix_) {
      SLUICE_ASSIGN(importance_, checkpoint::ImportanceMatrix::open(*imatrix_));
      importance_file = std::filesystem::path(*imatrix_).filename().string();
    }
    if (ranges_) {
      SLUICE_ASSIGN(activation_ranges_, quantize::ActivationRanges::open(*ranges_));
    }
    if (const auto* mixture = quantize::find_mixture(to_)) {
      if (compensation_.compensates()) {
        return usage_error("--method gptq",
                           fmt::format("GGUF types are rounded plainly, and {} is one", to_),
                           fmt::format("Leave it out, or take one of {}", safetensors_names()));
      }
      if (kv_scales_)
        return usage_error("--kv-scales", "GGUF files have no place for them", "Leave it out");
      if (!layout_.empty())
        return usage_error("--layout", fmt::format("{} is a GGUF type, which has one layout", to_),
                           "Leave it out");
      quantize::GgufRequest gguf;
      gguf.mixture = mixture;
      gguf.older_rule = older_;
      gguf.draft = draft;
      gguf.importance = importance_ ? &*importance_ : nullptr;
      gguf.importance_file = importance_file;
      SLUICE_TRY(vision_.set(gguf));
      request.target = mixture->name;
      request.how = gguf;
      return request;
    }
    const auto* recipe = quantize::find_recipe(to_);
    if (recipe == nullptr || recipe->layouts.empty())
      return usage_error("--to", fmt::format("\"{}\" is no format that sluice writes", to_),
                         "See sluice quantize --help for the list");
    quantize::SafetensorsRequest safetensors;
    safetensors.recipe = recipe;
    SLUICE_ASSIGN(safetensors.layout, quantize::layout_for(*recipe, layout_));
    safetensors.draft = draft;
    SLUICE_TRY(vision_.set(safetensors));
    safetensors.search = search_ == "none"    ? quantize::ScaleSearch::kNone
                         : search_ == "sweep" ? quantize::ScaleSearch::kSweep
                                              : quantize::ScaleSearch::kFourOverSix;
    safetensors.importance = importance_ ? &*importance_ : nullptr;
    safetensors.importance_file = importance_file;
    safetensors.cache_scales = kv_scales_;
    safetensors.ranges = activation_ranges_ ? &*activation_ranges_ : nullptr;
    request.target = recipe->name;
    request.how = safetensors;
    return request;
  }

  BuildOptions build_;
  std::string to_, layout_, keep_mtp_ = "bf16", search_ = "sweep";
  std::optional<std::string> imatrix_, ranges_;
  VisionOptions vision_;
  bool older_ = false, kv_scales_ = false;
  CompensationOptions compensation_;
  std::unique_ptr<quantize::CompensationSource> compensation_source_;
  AutoOptions auto_;
  ProofOptions proof_;
  std::optional<checkpoint::ImportanceMatrix> importance_;
  std::optional<quantize::ActivationRanges> activation_ranges_;
};

}  // namespace

std::unique_ptr<Command> make_quantize() { return std::make_unique<QuantizeCommand>(); }

}  // namespace sluice::cli
