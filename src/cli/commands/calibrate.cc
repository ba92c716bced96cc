// sluice calibrate: importance matrix and activation ranges from our own run over a text.
#include <fmt/format.h>

#include <chrono>
#include <optional>

#include "base/file.h"
#include "cli/calibration_text.h"
#include "cli/command.h"
#include "cli/session.h"
#include "tools/calibrate/gatherer.h"
#include "tools/calibrate/progress.h"
#include "tools/calibrate/results.h"
#include "tools/calibrate/window_reader.h"

namespace sluice::cli {
namespace {

namespace fs = std::filesystem;
using checkpoint::ImportanceForm;

constexpr uint64_t kMaxRangesBytes = uint64_t{1} << 30;

class CalibrateCommand : public Command {
 public:
  CalibrateCommand() { model_.context = 512; }

  void declare(CLI::App& app) override {
    model_.declare(app);
    app.add_option("--file", file_,
                   "the text; or .jsonl: {\"messages\": [...]}, {\"text\": \"...\"} or {\"ids\": "
                   "[...]} a line, each from an empty context")
        ->required();
    app.add_option("--out", out_,
                   "the importance matrix: *.gguf, or *.dat for the older form of llama.cpp")
        ->required();
    app.add_option("--ranges", ranges_,
                   "the activation ranges (default: beside --out, as *.ranges.json)");
    app.add_option("--format", format_, "gguf or dat, for a name that does not say it")
        ->check(CLI::IsMember({"gguf", "dat"}));
    app.add_option("--chunks", chunks_,
                   "reads so many windows of --context tokens, 512 unless said (default: all)")
        ->check(CLI::PositiveNumber);
    app.add_flag("--process-output", head_,
                 "adds the output matrix, which llama.cpp's tools leave without importance");
    app.add_option("--save-every", save_every_,
                   "saves the progress after so many windows, beside --out: the same command goes "
                   "on from there")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_flag("--overwrite", overwrite_,
                 "replaces the files if they exist, and the progress of another run");
  }

  Status run(const Console& console) override {
    const auto start = std::chrono::steady_clock::now();
    SLUICE_TRY(settle_names());
    SLUICE_ASSIGN(const auto loaded, prepare_model(console, model_));
    SLUICE_TRY(check_places(*loaded));
    SLUICE_ASSIGN(const CalibrationText text, read_text(*loaded));
    if (model_.draft_depth == "auto") model_.draft_depth = "1";
    if (model_.kv.empty()) model_.kv = "f32";  // one window long: exact values cost nothing
    runtime::EngineShape shape;
    shape.context = model_.context;
    SLUICE_TRY(finish_loading(console, model_, *loaded, shape));
    draft_ = loaded->model->mtp() != nullptr;
    SLUICE_ASSIGN(const calibrate::Progress done, gather(console, *loaded, text));
    SLUICE_TRY(write(*loaded, done));
    std::error_code ignored;
    fs::remove(progress_file(), ignored);
    report(console, *loaded, done,
           std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    return {};
  }

 private:
  fs::path progress_file() const { return out_ + ".progress"; }

  Status settle_names() {
    const std::string suffix = fs::path(out_).extension().string();
    if (format_.empty() && suffix != ".gguf" && suffix != ".dat") {
      return usage_error("--out", fmt::format("\"{}\" ends in neither .gguf nor .dat", out_),
                         "Name it so, or add --format");
    }
    const bool legacy = format_.empty() ? suffix == ".dat" : format_ == "dat";
    form_ = legacy ? ImportanceForm::kLegacy : ImportanceForm::kGguf;
    if (ranges_.empty()) ranges_ = fs::path(out_).replace_extension(".ranges.json").string();
    return {};
  }

  // Told before hours of work: what is there stays, and what is read is never written.
  Status check_places(const LoadedModel& loaded) const {
    std::error_code ignored;
    for (const std::string& place : {out_, ranges_}) {
      // A run that was killed at its very end has left the ranges: write() looks at them.
      const bool left = place == ranges_ && fs::exists(progress_file(), ignored);
      if (!overwrite_ && !left && fs::exists(place, ignored))
        return usage_error(place, "exists already", "Choose another name or add --overwrite");
      std::vector<fs::path> sources = loaded.files.checkpoint->files();
      sources.push_back(file_);
      for (const fs::path& source : sources) {
        if (fs::equivalent(place, source, ignored))
          return usage_error(place, "is what the calibration reads", "Choose another name");
      }
    }
    if (fs::weakly_canonical(out_, ignored) == fs::weakly_canonical(ranges_, ignored))
      return usage_error("--ranges", "is the file of --out", "Choose another name");
    return {};
  }

  // A plain text is cut into whole windows, as llama.cpp's tool cuts it.
  Result<CalibrationText> read_text(const LoadedModel& loaded) const {
    SLUICE_ASSIGN(CalibrationText text,
                  read_calibration_text(file_, loaded.files, loaded.binding.config.vocabulary,
                                        model_.context, TextRest::kLeftOut));
    if (chunks_ && static_cast<size_t>(*chunks_) < text.windows.size())
      text.windows.resize(static_cast<size_t>(*chunks_));
    return text;
  }

  // All that decides the sums.
  std::string identity(const LoadedModel& loaded, const CalibrationText& text) const {
    Json files = Json::array();
    for (const fs::path& file : loaded.files.checkpoint->files()) {
      std::error_code ignored;
      Json one = Json::object();
      one.set("name", file.filename().string());
      one.set("bytes", static_cast<uint64_t>(fs::file_size(file, ignored)));
      one.set("changed",
              static_cast<int64_t>(fs::last_write_time(file, ignored).time_since_epoch().count()));
      files.push_back(std::move(one));
    }
    const ops::BackendInfo& info = loaded.backend->info();
    Json all = Json::object();
    all.set("model", std::move(files));
    all.set("windows", static_cast<uint64_t>(text.windows.size()));
    all.set("tokens", fmt::format("{:016x}", calibrate::text_identity(text.windows)));
    all.set("draft", draft_);
    all.set("backend", info.name);
    all.set("instruction_set", info.instruction_set);
    all.set("activations", activation_mode_name(info.activations));
    all.set("kv", static_cast<int>(loaded.shape.kv));
    return all.dump();
  }

  Result<calibrate::Progress> start(const LoadedModel& loaded, const std::string& identity) {
    const auto empty = calibrate::empty_statistics(loaded.binding, draft_);
    auto saved = calibrate::load_progress(progress_file(), identity, empty);
    if (saved.ok() && *saved) {
      resumed_ = (*saved)->windows;
      return **std::move(saved);
    }
    if (!saved.ok() && !overwrite_) return std::move(saved).error();
    return calibrate::Progress{0, empty};
  }

  Result<calibrate::Progress> gather(const Console& console, const LoadedModel& loaded,
                                     const CalibrationText& text) {
    const std::string own = identity(loaded, text);
    SLUICE_ASSIGN(calibrate::Progress progress, start(loaded, own));
    SLUICE_ASSIGN(auto reader,
                  calibrate::WindowReader::create(*loaded.model, model_.context, loaded.shape.kv));
    ThreadPool pool(loaded.backend->info().threads);
    calibrate::Gatherer gatherer(*loaded.backend, pool, progress.statistics);
    const uint64_t windows = text.windows.size();
    while (progress.windows < windows) {
      reader->read(text.windows[progress.windows], gatherer);
      SLUICE_TRY(gatherer.status());
      ++progress.windows;
      console.progress(fmt::format("window {} of {}", progress.windows, windows));
      const bool interrupted = interrupt_count() > 0;
      if (interrupted || progress.windows == windows || progress.windows % save_every_ == 0)
        SLUICE_TRY(calibrate::save_progress(progress_file(), own, progress));
      if (interrupted) {
        console.clear_progress();
        return Error{ErrorCode::kInterrupted, "calibrate",
                     fmt::format("interrupted after window {} of {}", progress.windows, windows),
                     "The same command goes on from there"};
      }
    }
    console.clear_progress();
    return progress;
  }

  Status write(const LoadedModel& loaded, const calibrate::Progress& done) {
    const auto ranges = calibrate::ranges(loaded.binding, draft_, done.statistics);
    const auto there = read_file(ranges_, kMaxRangesBytes);
    if (!there.ok() || *there != ranges.text()) SLUICE_TRY(ranges.write(ranges_, overwrite_));
    auto record = calibrate::importance(loaded.binding, draft_, head_, done.statistics);
    record.dataset = fs::path(file_).filename().string();
    record.chunks = static_cast<uint32_t>(done.windows);
    record.chunk_size = static_cast<uint32_t>(model_.context);
    entries_ = record.entries.size();
    return checkpoint::write_importance(out_, form_, std::move(record), overwrite_);
  }

  void report(const Console& console, const LoadedModel& loaded, const calibrate::Progress& done,
              double seconds) const {
    const uint64_t rows = done.statistics.at("final_norm").rows;
    if (!console.settings().json) {
      console.print(fmt::format("{} tokens in {} windows\n{}: {} matrices\n{}\n", rows,
                                done.windows, out_, entries_, ranges_));
      return;
    }
    Json document = Json::object();
    document.set("model", loaded.files.path.string());
    document.set("tokens", rows);
    document.set("windows", done.windows);
    document.set("window_tokens", model_.context);
    document.set("resumed_at", resumed_);
    document.set("draft_head", draft_);
    document.set("entries", static_cast<uint64_t>(entries_));
    document.set("out", out_);
    document.set("ranges", ranges_);
    document.set("seconds", seconds);
    console.print_json(document);
  }

  ModelOptions model_;
  std::string file_, out_, ranges_, format_;
  ImportanceForm form_ = ImportanceForm::kGguf;
  std::optional<int64_t> chunks_;
  uint64_t save_every_ = 16, resumed_ = 0;
  bool head_ = false, overwrite_ = false, draft_ = false;
  size_t entries_ = 0;
};

}  // namespace

std::unique_ptr<Command> make_calibrate() { return std::make_unique<CalibrateCommand>(); }

}  // namespace sluice::cli
