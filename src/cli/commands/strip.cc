// sluice strip: a build without its vision tower or its draft head; everything else keeps its
// bytes.
#include "cli/build_options.h"
#include "cli/command.h"
#include "cli/session.h"
#include "tools/quantize/copy_build.h"

namespace sluice::cli {
namespace {

class StripCommand : public Command {
 public:
  void declare(CLI::App& app) override {
    build_.declare(app);
    app.add_flag("--vision", request_.drop_vision, "takes the vision tower out");
    app.add_flag("--mtp", request_.drop_draft, "takes the draft head out");
  }

  Status run(const Console& console) override {
    if (!request_.drop_vision && !request_.drop_draft)
      return usage_error("strip", "nothing to take out", "Add --vision, --mtp or both");
    request_.out = build_.out;
    request_.overwrite = build_.overwrite;
    SLUICE_ASSIGN(
        const auto source,
        build_.open(
            console, request_.drop_vision ? TowerBeside::kLeave : TowerBeside::kOpen,
            request_.drop_draft ? convert::DamagedDraft::kAllow : convert::DamagedDraft::kRefuse));
    SLUICE_ASSIGN(const int cores, build_.cores());
    ThreadPool pool(cores);
    SLUICE_ASSIGN(const auto report,
                  quantize::make_copy(source, request_, pool, build_.events(console)));
    print_report(console, report, build_.out);
    return {};
  }

 private:
  BuildOptions build_;
  quantize::CopyRequest request_;
};

}  // namespace

std::unique_ptr<Command> make_strip() { return std::make_unique<StripCommand>(); }

}  // namespace sluice::cli
