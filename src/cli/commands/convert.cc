// sluice convert: a build in the other container, or in plain 16 bit.
#include <fmt/format.h>

#include "cli/build_options.h"
#include "cli/command.h"

namespace sluice::cli {
namespace {

class ConvertCommand : public Command {
 public:
  void declare(CLI::App& app) override {
    build_.declare(app);
    app.add_option("--to", to_, "the container to write")
        ->check(CLI::IsMember({"safetensors", "gguf"}))
        ->required();
    app.add_option("--type", type_, "type of the matrices in a GGUF; safetensors are BF16")
        ->check(CLI::IsMember({"bf16", "f16", "f32", "q8_0"}))
        ->capture_default_str();
    vision_.declare(app);
    app.add_flag("--strip-mtp", strip_mtp_, "leaves the draft head out");
  }

  Status run(const Console& console) override {
    quantize::BuildRequest request;
    request.out = build_.out;
    request.overwrite = build_.overwrite;
    const auto draft = strip_mtp_ ? quantize::DraftHead::kNone : quantize::DraftHead::kSame;
    if (to_ == "gguf") {
      quantize::GgufRequest gguf;
      gguf.mixture = quantize::find_mixture(type_);
      gguf.draft = draft;
      SLUICE_TRY(vision_.set(gguf));
      request.target = type_;
      request.how = gguf;
    } else {
      if (type_ != "bf16")
        return usage_error("--type", fmt::format("{} is for GGUF", type_),
                           "Safetensors builds are BF16; sluice quantize makes the others");
      quantize::SafetensorsRequest safetensors;
      safetensors.recipe = quantize::find_recipe("safetensors");
      safetensors.draft = draft;
      SLUICE_TRY(vision_.set(safetensors));
      request.target = "bf16";
      request.how = safetensors;
    }
    SLUICE_ASSIGN(const auto source, build_.open(console, vision_.beside()));
    SLUICE_ASSIGN(const int cores, build_.cores());
    ThreadPool pool(cores);
    SLUICE_ASSIGN(const auto report,
                  quantize::make_build(source, request, pool, build_.events(console)));
    print_report(console, report, build_.out);
    return {};
  }

 private:
  BuildOptions build_;
  VisionOptions vision_;
  std::string to_, type_ = "bf16";
  bool strip_mtp_ = false;
};

}  // namespace

std::unique_ptr<Command> make_convert() { return std::make_unique<ConvertCommand>(); }

}  // namespace sluice::cli
