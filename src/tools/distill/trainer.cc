#include "tools/distill/trainer.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "base/file.h"
#include "base/threads.h"
#include "checkpoint/checkpoint.h"
#include "tools/distill/dataset.h"
#include "tools/distill/export.h"
#include "tools/distill/network.h"
#include "tools/distill/optimizer.h"
#include "tools/distill/run_state.h"

// Of OpenBLAS; any other BLAS has no such function, and single-threaded calls by nature or by its
// own settings.
extern "C" void openblas_set_num_threads(int) __attribute__((weak));

namespace sluice::distill {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// What one shard contributes to a step.
struct ShardResult {
  std::vector<torch::Tensor> gradients;  // undefined: nothing depends on the parameter
  double text = 0;
  std::vector<double> draft;
  int64_t text_hits = 0, text_rows = 0, tokens = 0;
  std::vector<int64_t> draft_hits, draft_rows;

  void add(const ShardResult& other) {
    text += other.text;
    text_hits += other.text_hits, text_rows += other.text_rows, tokens += other.tokens;
    for (size_t i = 0; i < draft.size(); ++i) {
      draft[i] += other.draft[i];
      draft_hits[i] += other.draft_hits[i], draft_rows[i] += other.draft_rows[i];
    }
    for (size_t i = 0; i < gradients.size(); ++i) {
      if (!gradients[i].defined()) {
        gradients[i] = other.gradients[i];
      } else if (other.gradients[i].defined()) {
        gradients[i].add_(other.gradients[i]);
      }
    }
  }
};

// Sums over the steps since the last log entry.
struct Window {
  double text = 0, norm = 0, seconds = 0;
  std::vector<double> draft;
  int64_t steps = 0, draft_steps = 0, tokens = 0, hits = 0, rows = 0;
  std::vector<int64_t> draft_hits, draft_rows;

  void add(const ShardResult& step, double gradient_norm, double step_seconds) {
    if (!step.draft.empty()) {
      ++draft_steps;
      draft.resize(step.draft.size());
      draft_hits.resize(step.draft.size());
      draft_rows.resize(step.draft.size());
    }
    text += step.text, norm += gradient_norm, seconds += step_seconds;
    ++steps, tokens += step.tokens, hits += step.text_hits, rows += step.text_rows;
    for (size_t i = 0; i < draft.size(); ++i) {
      draft[i] += step.draft[i];
      draft_hits[i] += step.draft_hits[i], draft_rows[i] += step.draft_rows[i];
    }
  }

  LogEntry entry() const {
    const auto ratio = [](auto part, auto whole) {
      return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0.0;
    };
    LogEntry entry;
    entry.loss = ratio(text, steps);
    entry.accuracy = ratio(hits, rows);
    for (size_t i = 0; i < draft.size(); ++i) {
      entry.draft_loss.push_back(ratio(draft[i], draft_steps));
      entry.draft_accuracy.push_back(ratio(draft_hits[i], draft_rows[i]));
    }
    entry.gradient_norm = ratio(norm, steps);
    entry.tokens_per_second = ratio(tokens, seconds);
    return entry;
  }
};

int64_t count_weighted(const torch::Tensor& weights) { return (weights > 0).sum().item<int64_t>(); }

class Run {
 public:
  static Result<std::unique_ptr<Run>> open(const TrainConfig& config, const RunOptions& options) {
    std::unique_ptr<Run> run(new Run(config, options));
    SLUICE_TRY(run->prepare());
    return run;
  }

  Result<RunSummary> train() {
    const Clock::time_point start = Clock::now();
    const int64_t last = std::min(config_.steps, options_.until);
    Window window;
    while (position_.step < last) {
      const Clock::time_point begin = Clock::now();
      ShardResult step = run_shards();
      if (!std::isfinite(step.text)) {
        return failed(fmt::format("step {}", position_.step + 1),
                      fmt::format("the loss is {}", step.text),
                      "Lower the learning rate or clip more; the state before is in training/");
      }
      const double rate = learning_rate_at(config_, position_.step);
      const double norm =
          adamw_step(config_, position_.step, step.gradients, parameters_, moments_);
      ++position_.step;
      position_.tokens += step.tokens;
      position_.data = order_->position();
      window.add(step, norm, seconds_since(begin));
      const bool stopping = position_.step >= last ||
                            seconds_since(start) > options_.minutes * 60 ||
                            (options_.stop != nullptr && options_.stop->load() > 0);
      if (position_.step % config_.log_every == 0 || stopping) {
        SLUICE_TRY(report(window, rate));
        window = {};
      }
      if (position_.step % config_.checkpoint_every == 0 || stopping) SLUICE_TRY(save());
      if (stopping) break;
    }
    return RunSummary{position_.step, position_.step >= config_.steps, config_.output};
  }

 private:
  Run(const TrainConfig& config, const RunOptions& options)
      : config_(config),
        options_(options),
        pool_(options.threads),
        training_(std::filesystem::path(config.output) / "training") {}

  Status prepare() {
    // Each shard is one thread's: products split over threads would wait for each other.
    at::set_num_threads(1);
    if (openblas_set_num_threads != nullptr) openblas_set_num_threads(1);
    SLUICE_ASSIGN(TextTools tools, open_text_tools(config_.tokenizer));
    tools_ = std::make_unique<TextTools>(std::move(tools));
    SLUICE_TRY(make_model());
    if (!config_.draft_weights.empty() && model_.mtp_layers == 0) {
      return bad_input("draft_weights", "the model has no draft head",
                       "Set mtp_num_hidden_layers to 1 or leave draft_weights out");
    }
    std::error_code error;
    std::filesystem::create_directories(training_, error);
    if (error) return failed(training_.string(), error.message());
    const std::filesystem::path state = training_ / "state.safetensors";
    if (options_.resume) {
      SLUICE_ASSIGN(position_, load_state(state, parameters_, moments_));
    } else if (std::filesystem::exists(state, error)) {
      return bad_input(state.string(), "a run has been there already",
                       "Go on with --resume, or remove the folder");
    }
    const Clock::time_point start = Clock::now();
    SLUICE_ASSIGN(dataset_, read_dataset(config_.data, *tools_, config_.max_tokens,
                                         model_.vocabulary, options_.threads));
    if (position_.data.next >= static_cast<int64_t>(dataset_.samples.size()))
      return bad_input("data", "has fewer samples than when the run was saved");
    order_ = std::make_unique<SampleOrder>(dataset_.samples.size(), config_.seed, position_.data);
    SLUICE_ASSIGN(auto log, TrainingLog::open(training_ / "log.jsonl", position_.step));
    log_ = std::make_unique<TrainingLog>(std::move(log));
    const auto compute = config_.precision == Precision::kBf16 ? torch::kBFloat16 : torch::kFloat;
    network_ = std::make_unique<Network>(model_, parameters_, compute);
    if (options_.note) {
      options_.note(fmt::format(
          "{} parameters; {} samples, {} tokens, {} labels, read in {:.1f} s; {} samples longer "
          "than {} tokens dropped; from step {}",
          parameters_.count(), dataset_.samples.size(), dataset_.tokens, dataset_.labels,
          seconds_since(start), dataset_.too_long, config_.max_tokens, position_.step));
    }
    return {};
  }

  Status make_model() {
    std::optional<checkpoint::Checkpoint> source;
    if (config_.init_from.empty()) {
      SLUICE_ASSIGN(published_, published_config(config_.model, tools_->tokenizer.size()));
      SLUICE_ASSIGN(model_, model::config_of_new_model(published_));
    } else {
      SLUICE_ASSIGN(source, checkpoint::Checkpoint::open(config_.init_from));
      SLUICE_ASSIGN(model_, model::read_config(*source));
      SLUICE_ASSIGN(const auto json, source->side_json("config.json"));
      if (!json) return bad_input(config_.init_from, "has no config.json");
      const Json* inner = json->find("text_config");
      published_ = inner != nullptr && inner->is_object() ? *inner : *json;
      published_.set("architectures", Json(Json::Array{"Qwen3_5ForCausalLM"}));
      published_.set("model_type", "qwen3_5_text");
    }
    if (model_.vocabulary < tools_->tokenizer.size()) {
      return bad_input("vocab_size", fmt::format("is {}, the tokenizer has {} tokens",
                                                 model_.vocabulary, tools_->tokenizer.size()));
    }
    parameters_ =
        make_parameters(model_, {.seed = config_.seed, .deviation = config_.init_deviation});
    if (source) SLUICE_TRY(load_parameters(*source, parameters_));
    moments_ = zero_moments(parameters_);
    for (const Parameter& parameter : parameters_.all) leaves_.push_back(parameter.value);
    return {};
  }

  ShardResult run_shards() {
    const auto shards = next_shards(dataset_, *order_, config_.shards, config_.shard_tokens());
    const int64_t drafting = position_.step - config_.draft_from_step;
    const auto draft_steps = drafting >= 0 && drafting % config_.draft_every == 0
                                 ? static_cast<int64_t>(config_.draft_weights.size())
                                 : int64_t{0};
    std::vector<const Sample*> all;
    for (const auto& shard : shards) all.insert(all.end(), shard.begin(), shard.end());
    const LossTotals totals = loss_totals(all, draft_steps);
    std::vector<ShardResult> results(shards.size());
    std::atomic<size_t> next{0};
    pool_.run([&](int, int) {
      at::set_num_threads(1);
      at::globalContext().setFlushDenormal(true);
      for (size_t i = next++; i < shards.size(); i = next++) {
        results[i] = run_shard(make_batch(shards[i], draft_steps, totals));
      }
    });
    for (size_t i = 1; i < results.size(); ++i) results.front().add(results[i]);
    return std::move(results.front());
  }

  ShardResult run_shard(const Batch& batch) const {
    const BatchLosses losses = network_->losses(batch, config_.draft_weights);
    ShardResult result;
    result.gradients = torch::autograd::grad({losses.total}, leaves_, {}, false, false, true);
    result.text = losses.text;
    result.draft = losses.draft;
    result.text_hits = losses.text_hits;
    result.draft_hits = losses.draft_hits;
    result.text_rows = count_weighted(batch.weights);
    for (const Batch::DraftStep& step : batch.draft_steps)
      result.draft_rows.push_back(count_weighted(step.weights));
    result.tokens = batch.tokens.size(0);
    return result;
  }

  Status report(const Window& window, double rate) {
    LogEntry entry = window.entry();
    entry.step = position_.step;
    entry.tokens = position_.tokens;
    entry.learning_rate = rate;
    SLUICE_TRY(log_->add(entry));
    if (options_.progress) {
      const double per_step = window.seconds / static_cast<double>(window.steps);
      options_.progress(entry, per_step * static_cast<double>(config_.steps - position_.step));
    }
    return {};
  }

  Status save() {
    SLUICE_TRY(save_state(training_ / "state.safetensors", parameters_, moments_, position_));
    const std::string plot = loss_plot(log_->entries());
    SLUICE_TRY(write_file(training_ / "loss.svg", std::as_bytes(std::span(plot)), true));
    return export_model(config_.output, parameters_, published_, *tools_, config_.export_format,
                        config_.generation);
  }

  const TrainConfig& config_;
  const RunOptions& options_;
  ThreadPool pool_;
  std::filesystem::path training_;
  std::unique_ptr<TextTools> tools_;
  Json published_;
  model::TextConfig model_;
  ParameterSet parameters_;
  Moments moments_;
  std::vector<torch::Tensor> leaves_;
  RunPosition position_;
  Dataset dataset_;
  std::unique_ptr<SampleOrder> order_;
  std::unique_ptr<TrainingLog> log_;
  std::unique_ptr<Network> network_;
};

}  // namespace

Result<RunSummary> run_training(const TrainConfig& config, const RunOptions& options) {
  SLUICE_ASSIGN(const auto run, Run::open(config, options));
  return run->train();
}

}  // namespace sluice::distill
