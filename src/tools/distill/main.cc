// The program `sluice-train`, which `sluice train` runs.
#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdio>

#include "base/exit_code.h"
#include "base/threads.h"
#include "tools/distill/trainer.h"

namespace sluice::distill {
namespace {

std::atomic<int> stop_requests{0};

void request_stop(int) {
  // The second one does not wait for the step to end.
  if (stop_requests.fetch_add(1) > 0) std::_Exit(130);
}

std::string time_text(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  if (whole >= 3600) return fmt::format("{}h{:02d}m", whole / 3600, whole / 60 % 60);
  return fmt::format("{}m{:02d}s", whole / 60, whole % 60);
}

void print_progress(const LogEntry& entry, double seconds_left, int64_t steps) {
  std::string drafts;
  for (size_t i = 0; i < entry.draft_loss.size(); ++i) {
    drafts += fmt::format("{}{:.3f} ({:.0f}%)", i == 0 ? ", drafts " : " ", entry.draft_loss[i],
                          100 * entry.draft_accuracy[i]);
  }
  const std::string line = fmt::format(
      "step {}/{}: loss {:.4f} ({:.1f}%){}, norm {:.2f}, rate {:.2e}, {:.0f} tokens/s, "
      "{} left",
      entry.step, steps, entry.loss, 100 * entry.accuracy, drafts, entry.gradient_norm,
      entry.learning_rate, entry.tokens_per_second, time_text(seconds_left));
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  fmt::print(stderr, "{}{}{}", terminal ? "\r\x1b[K" : "", line, terminal ? "" : "\n");
  std::fflush(stderr);
}

void print_summary(const RunSummary& summary) {
  fmt::print(stderr, "sluice: {} after {} steps; the model is in {}{}\n",
             summary.finished ? "done" : "stopped", summary.steps, summary.model.string(),
             summary.finished ? "" : ". Go on with --resume");
}

Json summary_document(const RunSummary& summary) {
  Json document = Json::object();
  document.set("finished", summary.finished);
  document.set("steps", summary.steps);
  document.set("model", summary.model.string());
  return document;
}

int run_program(int argc, char** argv) {
  CLI::App app("Trains a model of the Qwen3.5 family from a config file.", "sluice train");
  std::string config_file;
  RunOptions options;
  bool json = false, quiet = false;
  options.threads = usable_cores();
  app.add_option("CONFIG", config_file, "what to train: docs/training.md lists the keys")
      ->required();
  app.add_flag("--resume", options.resume, "goes on from the saved state of the output folder");
  app.add_option("--threads", options.threads, "threads; the result does not depend on them")
      ->check(CLI::Range(1, 256));
  app.add_option("--until", options.until, "stops when this many steps are done")
      ->check(CLI::PositiveNumber);
  app.add_option("--minutes", options.minutes, "stops after this time")->check(CLI::PositiveNumber);
  app.add_flag("--json", json, "one JSON document on standard output at the end");
  app.add_flag("--quiet", quiet, "no progress line");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "sluice: error: command line: {}. See sluice train --help\n", error.what());
    return exit_code(ErrorCode::kUsage);
  }
  const auto report = [json](const Error& error) {
    if (json) {
      fmt::print("{}\n", error_document(error).dump());
    } else {
      fmt::print(stderr, "sluice: error: {}\n", error.message());
    }
    return exit_code(error.code);
  };
  const Result<TrainConfig> config = read_train_config(config_file);
  if (!config.ok()) return report(config.error());
  std::signal(SIGINT, request_stop);
  std::signal(SIGTERM, request_stop);
  options.stop = &stop_requests;
  options.progress = [&](const LogEntry& entry, double seconds_left) {
    if (!quiet) print_progress(entry, seconds_left, config->steps);
  };
  options.note = [quiet](const std::string& text) {
    if (!quiet) fmt::print(stderr, "sluice: {}\n", text);
  };
  const Result<RunSummary> summary = run_training(*config, options);
  if (!quiet && ::isatty(STDERR_FILENO) == 1) fmt::print(stderr, "\n");
  if (!summary.ok()) return report(summary.error());
  if (json) fmt::print("{}\n", summary_document(*summary).dump());
  if (!quiet) print_summary(*summary);
  return stop_requests > 0 ? 130 : 0;
}

}  // namespace
}  // namespace sluice::distill

int main(int argc, char** argv) {
  // A step allocates and frees the same few hundred megabytes; given back to the system, every page
  // would be faulted in and cleared again.
  mallopt(M_ARENA_MAX, 1);  // other arenas give their heaps back whatever the thresholds say
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the most that glibc accepts
  mallopt(M_TRIM_THRESHOLD, 2147483647);
  mallopt(M_TOP_PAD, 64 << 20);
  try {
    return sluice::distill::run_program(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "sluice: error: internal error: {}\n", error.what());
    return 1;
  }
}
