// sluice bench: how fast this machine runs a model, and how fast it could.
#include "tools/bench/bench.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "cli/command.h"
#include "cli/session.h"
#include "tools/bench/bench_backend.h"
#include "tools/bench/bench_plot.h"
#include "tools/bench/bench_report.h"
#include "tools/bench/peak_memory.h"
#include "tools/bench/peer.h"

namespace sluice::cli {
namespace {

const char* kv_name(ops::KvFormat format) {
  switch (format) {
    case ops::KvFormat::kF32:
      return "f32";
    case ops::KvFormat::kBF16:
      return "bf16";
    case ops::KvFormat::kFp8:
      return "fp8";
  }
  return "unknown";
}

class Bench : public Command {
 public:
  void declare(CLI::App& app) override {
    model_.declare_model(app);
    const auto list = [&](const char* name, std::vector<int64_t>& values, int64_t least,
                          int64_t most, const char* text) {
      app.add_option(name, values, text)
          ->delimiter(',')
          ->allow_extra_args(false)
          ->check(CLI::Range(least, most))
          ->capture_default_str();
    };
    list("--prompt", options_.prompts, 1, int64_t{1} << 20, "lengths of prompts to read");
    list("--rows", options_.rows, 1, 1024, "numbers of answers at once");
    list("--drafts,--draft-depth", options_.drafts, 0, 8, "drafts a step of one answer; 0: none");
    list("--draft-head", options_.draft_heads, 0, int64_t{1} << 20,
         "drafts are taken from so many first ids; 0: all");
    list("--context", options_.contexts, 0, int64_t{1} << 20,
         "tokens before one answer, down to a multiple of 64; 0: none");
    app.add_option("--steps", options_.steps, "steps of an answer timed in a repetition")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    app.add_option("--repeat", options_.repeat, "repetitions of each figure, all in turn")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    app.add_option("--time", options_.seconds, "seconds after which nothing new is begun")
        ->check(CLI::Range(1.0, 1e6))
        ->capture_default_str();
    app.add_option("--svg", svg_, "a picture of the shares of the floor, into this file");
    app.add_flag("--overwrite", overwrite_, "replace that file if it exists");
    app.add_option("--against", against_, "a peer's command, run once after each round; no shell");
    app.add_option("--against-prompt", peer_.prompt_marker,
                   "what stands before its prompt tokens a second in its output");
    app.add_option("--against-answer", peer_.decode_marker,
                   "what stands before its answer tokens a second in its output");
    app.add_option("--against-timeout", peer_.timeout_seconds, "seconds that a run of it may take")
        ->check(CLI::Range(1.0, 1e6))
        ->capture_default_str();
  }

  Status run(const Console& console) override {
    SLUICE_TRY(check());
    SLUICE_ASSIGN(auto loaded, prepare_model(console, model_));
    SLUICE_ASSIGN(options_.kv, model_.kv_format(*loaded->backend));
    // Takes the backend's place before the model is loaded into it.
    auto timed = std::make_unique<tools::BenchBackend>(std::move(loaded->backend),
                                                       loaded->binding.config.vocabulary);
    tools::BenchBackend& backend = *timed;
    loaded->backend = std::move(timed);
    tools::PeakMemory peak;
    SLUICE_TRY(finish_loading(console, model_, *loaded,
                              tools::memory_shape(loaded->binding.config, options_.kv)));
    const tools::BenchModel model{.binding = loaded->binding,
                                  .model = *loaded->model,
                                  .backend = backend,
                                  .load_seconds = loaded->load_ms * 1e-3,
                                  .shape = loaded->shape,
                                  .planned_memory = loaded->plan.total(),
                                  .peak_memory = [&] { return peak.bytes(); }};
    options_.interrupted = [] { return interrupt_count() > 0; };
    options_.progress = [&](const std::string& text) { console.progress("bench " + text); };
    const auto result = tools::run_bench(model, options_);
    console.clear_progress();
    if (!result.ok()) return result.error();
    return print(console, conditions(*loaded), *result);
  }

 private:
  Status check() {
    std::erase(options_.drafts, 0);
    std::erase(options_.contexts, 0);
    for (auto* values : {&options_.prompts, &options_.rows, &options_.drafts, &options_.draft_heads,
                         &options_.contexts}) {
      std::sort(values->begin(), values->end());
      values->erase(std::unique(values->begin(), values->end()), values->end());
    }
    // The draft head is loaded only if it is wanted.
    const int64_t most = options_.drafts.empty()
                             ? 0
                             : *std::max_element(options_.drafts.begin(), options_.drafts.end());
    model_.draft_depth = std::to_string(most);
    if (svg_ && !overwrite_ && std::filesystem::exists(*svg_))
      return usage_error("--svg", *svg_ + " exists", "Give another name or --overwrite");
    if (!against_) {
      if (!peer_.prompt_marker.empty() || !peer_.decode_marker.empty())
        return usage_error("--against-prompt", "there is no peer", "Give its command to --against");
      return {};
    }
    SLUICE_ASSIGN(peer_.words, tools::split_command(*against_));
    options_.peer = peer_;
    return {};
  }

  tools::BenchConditions conditions(const LoadedModel& loaded) const {
    const ops::BackendInfo& info = loaded.backend->info();
    return {.model = loaded.files.path.filename().string(),
            .backend = info.name,
            .instruction_set = info.instruction_set,
            .activations = activation_mode_name(info.activations),
            .kv = kv_name(options_.kv),
            .prefetch = info.prefetch,
            .threads = info.threads,
            .steps = options_.steps,
            .load_seconds = loaded.load_ms * 1e-3};
  }

  Status print(const Console& console, const tools::BenchConditions& conditions,
               const tools::BenchResult& result) const {
    if (svg_) {
      const std::string picture = tools::bench_svg(conditions, result);
      SLUICE_TRY(write_file(*svg_, std::as_bytes(std::span(picture)), overwrite_));
    }
    if (console.settings().json) {
      console.print_json(tools::bench_json(conditions, result));
    } else {
      console.print(tools::bench_text(conditions, result));
    }
    return {};
  }

  ModelOptions model_;
  tools::BenchOptions options_;
  tools::PeerOptions peer_;
  std::optional<std::string> svg_, against_;
  bool overwrite_ = false;
};

}  // namespace

std::unique_ptr<Command> make_bench() { return std::make_unique<Bench>(); }

}  // namespace sluice::cli
