// sluice generate: answers for scripts.
#include <fmt/format.h>

#include <algorithm>

#include "base/exit_code.h"
#include "cli/answer_json.h"
#include "cli/command.h"
#include "cli/generation_options.h"
#include "cli/prompt_input.h"
#include "cli/session.h"

namespace sluice::cli {
namespace {

// Collects one answer. `text` is streamed as it comes when `stream` is set.
class Collector : public runtime::Listener {
 public:
  Collector(const Console* console, bool stream) : console_(console), stream_(stream) {}

  void on_token(const runtime::TokenEvent& event) override {
    given.ids.push_back(event.token.id);
    given.logprobs.push_back(event.token);
    add(event.text);
  }
  void on_finish(const runtime::RequestReport& finished) override {
    add(finished.last_text);
    given.report = finished;
    done = true;
  }

  GivenAnswer given;
  bool done = false;

 private:
  void add(const std::string& piece) {
    given.text += piece;
    if (stream_ && !piece.empty()) console_->print(piece);
  }

  const Console* console_;
  bool stream_;
};

Json error_json(const Error& error) {
  Json detail = Json::object();
  detail.set("code", exit_code(error.code));
  detail.set("message", error.why.empty() ? error.what : error.what + ": " + error.why);
  detail.set("remedy", error.remedy);
  Json result = Json::object();
  result.set("ids", Json::array());
  result.set("text", "");
  result.set("finish_reason", "error");
  result.set("error", std::move(detail));
  return result;
}

// One request and where its answer goes; `error` instead of an answer for a line that could not be
// used.
struct Job {
  runtime::Request request;
  std::unique_ptr<Collector> answer;
  std::optional<Error> error;
};

class Generate : public Command {
 public:
  void declare(CLI::App& app) override {
    model_.declare(app);
    prompt_.declare(app, true);
    app.add_option(
        "--jsonl", jsonl_,
        "a file with one request a line, all in one engine at once; - is standard input");
    app.add_option("--copies", copies_, "the same prompt so many times in one batch")
        ->check(CLI::Range(1, 1024));
    app.add_option("--sequences", sequences_, "most requests at once (default: all, at most 16)")
        ->check(CLI::Range(1, 1024));
    app.add_option("--prompt-rows", prompt_rows_, "prompt tokens read per step, a multiple of 64")
        ->check(CLI::Range(64, 8192))
        ->capture_default_str();
    app.add_option("--logprobs", options_.logprobs, "report so many top log probabilities a token")
        ->check(CLI::Range(0, 1000));
    options_.declare(app);
  }

  Status run(const Console& console) override {
    if (prompt_rows_ % ops::kGrid != 0)
      return usage_error("--prompt-rows", fmt::format("{} is not a multiple of 64", prompt_rows_));
    if (jsonl_ && prompt_.given())
      return usage_error("--jsonl", "a prompt was given as well", "Give one of them");
    SLUICE_ASSIGN(auto loaded, prepare_model(console, model_));
    SLUICE_ASSIGN(std::vector<Job> jobs, make_jobs(console, *loaded));
    SLUICE_ASSIGN(const runtime::EngineShape shape, shape_for(jobs, loaded->binding.config));
    SLUICE_TRY(finish_loading(console, model_, *loaded, shape));
    SLUICE_ASSIGN(auto engine,
                  runtime::Engine::create(*loaded->model, loaded->tokenizer(), loaded->shape));
    std::vector<runtime::RequestId> ids;
    for (Job& job : jobs) {
      if (job.error) continue;
      auto submitted = engine->submit(job.request, *job.answer);
      if (submitted.ok()) {
        ids.push_back(*submitted);
      } else if (jsonl_) {
        job.error = submitted.error();
      } else {
        return submitted.error();
      }
    }
    while (engine->step()) {
      if (interrupt_count() == 0) continue;
      for (const auto id : ids) engine->cancel(id);
      engine->run_until_idle();
      return Error{ErrorCode::kInterrupted, "generate", "interrupted", {}};
    }
    return print_results(console, jobs, loaded->load_ms);
  }

 private:
  // One job per line, per copy, or just one.
  Result<std::vector<Job>> make_jobs(const Console& console, const LoadedModel& loaded) {
    const ModelFiles& files = loaded.files;
    const model::TextConfig& config = loaded.binding.config;
    std::vector<Job> jobs;
    if (!jsonl_) {
      SLUICE_ASSIGN(runtime::Request request, options_.request(files, config));
      SLUICE_ASSIGN(request.prompt, prompt_.tokens(files, config.vocabulary));
      warn_if_greedy_thinking(console, request, files);
      const bool stream = copies_ == 1 && !console.settings().json;
      for (int64_t copy = 0; copy < copies_; ++copy) {
        jobs.push_back({request, std::make_unique<Collector>(&console, stream), std::nullopt});
      }
      return jobs;
    }
    SLUICE_ASSIGN(const auto lines, read_json_lines(*jsonl_));
    for (const JsonLine& line : lines) {
      Job job;
      job.answer = std::make_unique<Collector>(&console, false);
      if (const Status made = make_line_job(line, files, config, job); !made.ok()) {
        job.error = made.error();
        job.error->what = fmt::format("line {}: {}", line.number, job.error->what);
      }
      jobs.push_back(std::move(job));
    }
    if (jobs.empty()) return usage_error(*jsonl_, "holds no request");
    return jobs;
  }

  Status make_line_job(const JsonLine& line, const ModelFiles& files,
                       const model::TextConfig& config, Job& job) {
    if (!line.value.ok()) return line.value.error();
    SLUICE_ASSIGN(auto prompt, tokens_of_request(*line.value, files, config.vocabulary));
    GenerationOptions options = options_;
    SLUICE_TRY(options.override_with(*line.value));
    SLUICE_ASSIGN(job.request, options.request(files, config));
    job.request.prompt = std::move(prompt);
    return {};
  }

  // Without --context: just what the longest request can need.
  Result<runtime::EngineShape> shape_for(const std::vector<Job>& jobs,
                                         const model::TextConfig& config) const {
    constexpr int64_t kDefaultAnswer = 512;
    runtime::EngineShape shape;
    int64_t needed = 1;
    for (const Job& job : jobs) {
      const int64_t answer = job.request.max_tokens > 0 ? job.request.max_tokens : kDefaultAnswer;
      needed = std::max(needed, static_cast<int64_t>(job.request.prompt.size()) + answer);
    }
    needed = std::min((needed + ops::kGrid - 1) / ops::kGrid * ops::kGrid, config.context);
    shape.context = model_.context > 0 ? model_.context : needed;
    shape.sequences = sequences_ > 0 ? sequences_
                                     : std::min<int64_t>(static_cast<int64_t>(jobs.size()),
                                                         copies_ > 1 ? copies_ : 16);
    shape.prompt_rows = prompt_rows_;
    return shape;
  }

  Status print_results(const Console& console, const std::vector<Job>& jobs, double load_ms) const {
    const Error* first_error = nullptr;
    for (const Job& job : jobs) {
      if (job.error && first_error == nullptr) first_error = &*job.error;
      if (console.settings().json || jsonl_) {
        console.print_json(job.error ? error_json(*job.error)
                                     : answer_json(job.answer->given, job.request, load_ms));
      } else if (jobs.size() > 1) {
        console.print(job.answer->given.text + "\n");
      } else {
        console.print("\n");
      }
    }
    if (first_error != nullptr)
      console.warn("some requests were refused, the first: " + first_error->message());
    return {};
  }

  ModelOptions model_;
  PromptInput prompt_;
  GenerationOptions options_;
  std::optional<std::string> jsonl_;
  int64_t copies_ = 1, sequences_ = 0, prompt_rows_ = 512;
};

}  // namespace

std::unique_ptr<Command> make_generate() { return std::make_unique<Generate>(); }

}  // namespace sluice::cli
