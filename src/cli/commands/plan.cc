// sluice plan: memory by part, before anything is loaded.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/session.h"

namespace sluice::cli {
namespace {

class Plan : public Command {
 public:
  void declare(CLI::App& app) override {
    model_.declare(app);
    app.add_option("--sequences", sequences_, "sequences at once")
        ->check(CLI::Range(1, 65536))
        ->capture_default_str();
    app.add_option("--cache,--prefix-cache", cache_, "bytes for the prefix cache")
        ->check(CLI::NonNegativeNumber);
    model_.declare_cache_state(app);
    app.add_option("--prompt-rows", prompt_rows_, "prompt tokens read per step, a multiple of 64")
        ->check(CLI::Range(64, 8192))
        ->capture_default_str();
  }

  bool watches_interrupts() const override { return false; }

  Status run(const Console& console) override {
    if (prompt_rows_ % ops::kGrid != 0)
      return usage_error("--prompt-rows", fmt::format("{} is not a multiple of 64", prompt_rows_));
    SLUICE_ASSIGN(const auto loaded, prepare_model(console, model_));
    runtime::EngineShape shape;
    shape.context = model_.context > 0 ? model_.context : loaded->binding.config.context;
    shape.sequences = sequences_;
    shape.prompt_rows = prompt_rows_;
    shape.prefix_cache = cache_;
    SLUICE_ASSIGN(shape.kv, model_.kv_format(*loaded->backend));
    SLUICE_ASSIGN(shape.draft_depth, model_.drafts());
    SLUICE_ASSIGN(shape.saved_states, model_.saved_states());
    if (!loaded->binding.mtp_usable) shape.draft_depth = 0;
    if (shape.context > loaded->binding.config.context) {
      console.warn(
          fmt::format("the model was made for {} tokens; run, generate and serve refuse more",
                      loaded->binding.config.context));
    }
    const uint64_t resident = resident_bytes(loaded->files);
    const auto plan = runtime::plan_memory(loaded->binding, *loaded->backend, shape, resident);
    const auto nearest =
        plan.fits() ? shape
                    : runtime::nearest_shape(loaded->binding, *loaded->backend, shape, resident);
    if (console.settings().json) {
      console.print_json(document(plan, shape, nearest));
    } else {
      print_table(console, plan, shape);
    }
    if (plan.fits()) return {};
    // The JSON document has said it already, with "fits": false; a second document would break its
    // reader.
    if (console.settings().json) return Error{ErrorCode::kDoesNotFit, {}, {}, {}};
    return runtime::does_not_fit(loaded->files.path.string(), plan, shape, nearest);
  }

 private:
  static Json document(const runtime::MemoryPlan& plan, const runtime::EngineShape& asked,
                       const runtime::EngineShape& nearest) {
    Json result = Json::object();
    result.set("weights", plan.weights);
    result.set("kv", plan.kv);
    result.set("recurrent", plan.recurrent);
    result.set("draft", plan.draft);
    result.set("workspace", plan.workspace);
    result.set("prefix_cache", plan.prefix_cache);
    if (plan.saved_states > 0) {
      result.set("saved_states", plan.saved_states);
      result.set("cache_state", runtime::state_form_name(asked.saved_states));
    }
    result.set("total", plan.total());
    result.set("available", plan.available);
    result.set("fits", plan.fits());
    Json shape = Json::object();
    shape.set("context", nearest.context);
    shape.set("sequences", nearest.sequences);
    if (asked.prefix_cache > 0) shape.set("cache", nearest.prefix_cache);
    result.set("nearest", std::move(shape));
    return result;
  }

  static void print_table(const Console& console, const runtime::MemoryPlan& plan,
                          const runtime::EngineShape& shape) {
    const auto row = [&](const char* name, uint64_t bytes) {
      console.print(fmt::format("{:<16}{:>14}\n", name, runtime::format_bytes(bytes)));
    };
    console.print(fmt::format("{} tokens of context, {} sequence{}, {} draft{} a step\n",
                              shape.context, shape.sequences, shape.sequences == 1 ? "" : "s",
                              shape.draft_depth, shape.draft_depth == 1 ? "" : "s"));
    row("weights", plan.weights);
    row("keys and values", plan.kv);
    row("recurrent state", plan.recurrent);
    row("draft head", plan.draft);
    row("workspace", plan.workspace);
    if (plan.saved_states > 0) {
      console.print(fmt::format("{:<16}{:>14}   {} states as {}\n", "prefix cache",
                                runtime::format_bytes(plan.prefix_cache), plan.saved_states,
                                runtime::state_form_name(shape.saved_states)));
    }
    row("total", plan.total());
    row("available", plan.available);
  }

  ModelOptions model_;
  int64_t sequences_ = 1, prompt_rows_ = 512;
  uint64_t cache_ = 0;
};

}  // namespace

std::unique_ptr<Command> make_plan() { return std::make_unique<Plan>(); }

}  // namespace sluice::cli
