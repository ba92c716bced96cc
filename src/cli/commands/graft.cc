// sluice graft: a build with the draft head of another.
#include "cli/build_options.h"
#include "cli/build_proof.h"
#include "cli/command.h"
#include "cli/session.h"
#include "tools/quantize/copy_build.h"

namespace sluice::cli {
namespace {

class GraftCommand : public Command {
 public:
  void declare(CLI::App& app) override {
    // In the order of the command line: IN DONOR OUT.
    app.add_option("IN", build_.in, "the build that gets a draft head")->required();
    app.add_option("DONOR", donor_, "the build whose draft head is taken")->required();
    build_.declare_output(app);
    proof_.declare(app);
  }

  Status run(const Console& console) override {
    quantize::CopyRequest request;
    request.out = build_.out;
    request.overwrite = build_.overwrite;
    SLUICE_ASSIGN(const auto source,
                  build_.open(console, TowerBeside::kOpen, convert::DamagedDraft::kAllow));
    BuildOptions other = build_;
    other.in = donor_;
    SLUICE_ASSIGN(const auto donor, other.open(console, TowerBeside::kLeave));
    request.donor = &donor;
    SLUICE_ASSIGN(const int cores, build_.cores());
    quantize::BuildEvents events = build_.events(console);
    std::unique_ptr<BuildProof> proof;
    if (proof_.on()) {
      proof_.threads = cores;
      SLUICE_ASSIGN(proof, BuildProof::open(console, source.path, proof_, donor.path));
    }
    events.judge = [&](const std::filesystem::path& model,
                       quantize::BuildReport& report) -> Status {
      if (proof != nullptr) return proof->judge(model, report);
      report.notes.emplace_back(
          "what the head drafts was not measured; --report-text compares it with the head that was "
          "there, or with the donor's own");
      return {};
    };
    ThreadPool pool(cores);
    SLUICE_ASSIGN(const auto report, quantize::make_copy(source, request, pool, events));
    print_report(console, report, build_.out);
    return {};
  }

 private:
  BuildOptions build_;
  std::string donor_;
  ProofOptions proof_;
};

}  // namespace

std::unique_ptr<Command> make_graft() { return std::make_unique<GraftCommand>(); }

}  // namespace sluice::cli
