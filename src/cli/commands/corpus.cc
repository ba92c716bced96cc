// sluice corpus: the demo model's training texts, from a seed.
#include "tools/distill/corpus/corpus.h"

#include <fmt/format.h>

#include "cli/command.h"

namespace sluice::cli {
namespace {

class Corpus : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("OUT_DIR", folder_, "where train.jsonl and held_out.jsonl go")->required();
    app.add_option("--seed", options_.seed, "same seed and counts, same bytes")
        ->capture_default_str();
    app.add_option("--samples", options_.samples, "training samples")
        ->check(CLI::Range(int64_t{1}, int64_t{100'000'000}))
        ->capture_default_str();
    app.add_option("--held-out", options_.held_out_items, "held-out items of each kind")
        ->check(CLI::Range(int64_t{0}, int64_t{1'000'000}))
        ->capture_default_str();
    app.add_option("--kinds", options_.kinds, "only these kinds, separated by commas")
        ->delimiter(',');
    app.add_flag("--overwrite", options_.overwrite, "replaces files that are there");
  }

  bool watches_interrupts() const override { return false; }

  Status run(const Console& console) override {
    SLUICE_ASSIGN(const tools::corpus::CorpusReport report,
                  tools::corpus::write_corpus(folder_, options_));
    if (console.settings().json) {
      Json counts = Json::object();
      for (const auto& [kind, count] : report.samples) counts.set(kind, count);
      Json result = Json::object();
      result.set("samples", std::move(counts));
      result.set("held_out", report.held_out);
      console.print_json(result);
      return {};
    }
    for (const auto& [kind, count] : report.samples)
      console.print(
          fmt::format("{:18}{:9} samples {:10} kB\n", kind, count, report.bytes.at(kind) / 1000));
    console.print(fmt::format("{:18}{:9} items\n", "held out", report.held_out));
    return {};
  }

 private:
  std::string folder_;
  tools::corpus::CorpusOptions options_{
      .seed = 1, .samples = 100'000, .held_out_items = 100, .kinds = {}, .overwrite = false};
};

}  // namespace

std::unique_ptr<Command> make_corpus() { return std::make_unique<Corpus>(); }

}  // namespace sluice::cli
