// sluice logits: what the model computes for a prompt.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <numeric>

#include "base/memory.h"
#include "checkpoint/safetensors_writer.h"
#include "cli/command.h"
#include "cli/prompt_input.h"
#include "cli/session.h"
#include "runtime/sampler/sampler.h"
#include "tools/probe/logits_probe.h"

namespace sluice::cli {
namespace {

Result<std::vector<int64_t>> parse_positions(const std::string& list, int64_t length) {
  std::vector<int64_t> positions;
  if (list == "last") return std::vector<int64_t>{length - 1};
  if (list == "all") {
    positions.resize(static_cast<size_t>(length));
    std::iota(positions.begin(), positions.end(), 0);
    return positions;
  }
  for (const char *at = list.data(), *end = at + list.size(); at < end;) {
    int64_t position = -1;
    const auto [next, error] = std::from_chars(at, end, position);
    if (error != std::errc{} || (next < end && *next != ',')) {
      return usage_error("--positions",
                         fmt::format("\"{}\" is not last, all or a list like 0,5,9", list));
    }
    if (position < 0 || position >= length) {
      return usage_error("--positions",
                         fmt::format("{} is outside the prompt of {} tokens", position, length));
    }
    positions.push_back(position);
    at = next < end ? next + 1 : end;
  }
  std::sort(positions.begin(), positions.end());
  positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
  return positions;
}

class Logits : public Command {
 public:
  void declare(CLI::App& app) override {
    model_.declare(app);
    prompt_.declare(app, true);
    app.add_option("--positions", positions_, "last, all or a list like 0,5,9")
        ->capture_default_str();
    app.add_option("--top", top_, "so many of the largest logits a position")
        ->check(CLI::Range(1, 100000))
        ->capture_default_str();
    app.add_option("--out", out_,
                   "a safetensors file: logits F32 [positions, vocab] and what else is asked for");
    app.add_flag("--overwrite", overwrite_, "replaces --out if it exists");
    app.add_flag("--hidden", hidden_,
                 "adds hidden F32 [positions of the prompt, hidden size], after the final norm");
    app.add_flag(
        "--mtp", mtp_,
        "adds mtp_logits F32 [n - 1, vocab]: slot p of the draft head fed with token p + 1");
    app.add_flag("--trace", trace_, "adds every intermediate and the final states");
    app.add_option(
           "--chunk", chunk_,
           "feeds the prompt in pieces of so many rows; 1: token by token, by the answer's rule")
        ->check(CLI::Range(1, 1 << 20));
    app.add_option("--first-position", first_position_, "position of the first token")
        ->check(CLI::Range(0, 1 << 24));
  }

  bool watches_interrupts() const override { return false; }

  Status run(const Console& console) override {
    if (!out_ && (hidden_ || mtp_ || trace_))
      return usage_error(hidden_ ? "--hidden"
                         : mtp_  ? "--mtp"
                                 : "--trace",
                         "needs a file", "Add --out F.safetensors");
    SLUICE_ASSIGN(const auto loaded, prepare_model(console, model_));
    const model::TextConfig& config = loaded->binding.config;
    tools::ProbeOptions probe;
    SLUICE_ASSIGN(probe.ids, prompt_.tokens(loaded->files, config.vocabulary));
    const auto length = static_cast<int64_t>(probe.ids.size());
    if (length == 0) return usage_error("prompt", "is empty", "Give at least one token");
    if (mtp_ && !loaded->binding.mtp_usable) {
      return bad_input(loaded->files.path.string(), "has no usable draft head, which --mtp needs",
                       "sluice inspect says why");
    }
    SLUICE_ASSIGN(probe.positions, parse_positions(positions_, length));
    SLUICE_TRY(check_result_size(probe, config));
    model_.draft_depth = mtp_ ? "1" : "0";
    runtime::EngineShape shape;
    shape.context = length;
    shape.prompt_rows = tools::kProbeRows;
    SLUICE_TRY(finish_loading(console, model_, *loaded, shape));
    probe.chunk = chunk_;
    probe.first_position = first_position_;
    probe.hidden = hidden_;
    probe.mtp = mtp_;
    probe.trace = trace_;
    probe.kv = loaded->shape.kv;
    SLUICE_ASSIGN(const tools::ProbeResult result, tools::run_probe(*loaded->model, probe));
    if (out_) SLUICE_TRY(write(result, probe, config.vocabulary));
    if (!out_ || console.settings().json)
      print(console, result, probe, config.vocabulary, loaded->files);
    return {};
  }

 private:
  // The rows are kept in memory until they are written.
  Status check_result_size(const tools::ProbeOptions& probe,
                           const model::TextConfig& config) const {
    const auto rows = static_cast<uint64_t>(probe.positions.size()) + (mtp_ ? probe.ids.size() : 0);
    const uint64_t bytes = rows * static_cast<uint64_t>(config.vocabulary) * sizeof(float);
    if (bytes <= available_memory() / 2) return {};
    return Error{ErrorCode::kDoesNotFit, "--positions",
                 fmt::format("{} rows of logits take {}", rows, runtime::format_bytes(bytes)),
                 "Ask for fewer positions"};
  }

  Status write(const tools::ProbeResult& result, const tools::ProbeOptions& probe,
               int64_t vocabulary) const {
    std::map<std::string, std::span<const float>> values = {{"logits", result.logits}};
    std::vector<checkpoint::TensorSpec> specs = {
        {"logits", DType::kF32, {static_cast<int64_t>(probe.positions.size()), vocabulary}}};
    for (const tools::NamedTensor& tensor : result.tensors) {
      specs.push_back({tensor.name, DType::kF32, tensor.shape});
      values[tensor.name] = tensor.values;
    }
    checkpoint::SafetensorsOptions options;
    options.overwrite = overwrite_;
    SLUICE_ASSIGN(auto writer,
                  checkpoint::SafetensorsWriter::create_file(*out_, std::move(specs), options));
    for (const checkpoint::TensorSpec& spec : writer.plan()) {
      SLUICE_TRY(writer.append(spec.name, std::as_bytes(values.at(spec.name))));
    }
    return writer.finish();
  }

  void print(const Console& console, const tools::ProbeResult& result,
             const tools::ProbeOptions& probe, int64_t vocabulary, const ModelFiles& files) const {
    Json document = Json::object();
    document.set("vocab", vocabulary);
    Json::Array rows;
    std::string plain;
    for (size_t i = 0; i < probe.positions.size(); ++i) {
      const auto values =
          std::span(result.logits)
              .subspan(i * static_cast<size_t>(vocabulary), static_cast<size_t>(vocabulary));
      const auto best = runtime::report_logprobs(values, 0, top_);
      Json row = Json::object();
      row.set("position", probe.positions[i]);
      Json::Array top;
      plain += fmt::format("position {}\n", probe.positions[i]);
      for (const auto& [id, logprob] : best.top) {
        Json entry = Json::object();
        entry.set("id", id);
        entry.set("logit", static_cast<double>(values[static_cast<size_t>(id)]));
        entry.set("logprob", static_cast<double>(logprob));
        top.push_back(std::move(entry));
        const std::string piece =
            files.tokenizer ? files.tokenizer->decode(std::span(&id, 1), false) : "";
        plain += fmt::format("  {:>7} {:>10.4f} {:>9.4f}  {}\n", id,
                             values[static_cast<size_t>(id)], logprob, Json(piece).dump());
      }
      row.set("top", std::move(top));
      rows.push_back(std::move(row));
    }
    document.set("positions", std::move(rows));
    if (console.settings().json) {
      console.print_json(document);
    } else {
      console.print(plain);
    }
  }

  ModelOptions model_;
  PromptInput prompt_;
  std::string positions_ = "last";
  int top_ = 10;
  std::optional<std::string> out_;
  bool overwrite_ = false, hidden_ = false, mtp_ = false, trace_ = false;
  int64_t chunk_ = 0, first_position_ = 0;
};

}  // namespace

std::unique_ptr<Command> make_logits() { return std::make_unique<Logits>(); }

}  // namespace sluice::cli
