// sluice train: hands over to the program sluice-train (docs/decisions/trainer-program.md).
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "cli/command.h"

namespace sluice::cli {
namespace {

constexpr const char* kProgram = "sluice-train";

// Beside this program, as built and as installed.
std::filesystem::path trainer_path() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::filesystem::path(kProgram) : self.parent_path() / kProgram;
}

class Train : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("CONFIG", config_, "what to train: docs/training.md lists the keys")->required();
    app.add_flag("--resume", resume_, "goes on from the saved state of the output folder");
    app.add_option("--threads", threads_, "threads; the result does not depend on them")
        ->check(CLI::Range(1, 256));
    app.add_option("--until", until_, "stops when this many steps are done")
        ->check(CLI::PositiveNumber);
    app.add_option("--minutes", minutes_, "stops after this time")->check(CLI::PositiveNumber);
  }

  Status run(const Console& console) override {
    const std::filesystem::path program = trainer_path();
    std::vector<std::string> arguments{program.string(), config_};
    if (resume_) arguments.emplace_back("--resume");
    if (threads_) arguments.insert(arguments.end(), {"--threads", std::to_string(*threads_)});
    if (until_) arguments.insert(arguments.end(), {"--until", std::to_string(*until_)});
    if (minutes_) arguments.insert(arguments.end(), {"--minutes", fmt::format("{}", *minutes_)});
    if (console.settings().json) arguments.emplace_back("--json");
    if (console.settings().quiet) arguments.emplace_back("--quiet");
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    ::execv(pointers[0], pointers.data());
    if (errno != ENOENT) return failed(program.string(), std::strerror(errno));
    return failed(program.string(), "this build of sluice has no trainer",
                  "Install LibTorch (Debian: libtorch-dev, libopenblas0-openmp) and build again");
  }

 private:
  std::string config_;
  bool resume_ = false;
  std::optional<int> threads_;
  std::optional<int64_t> until_;
  std::optional<double> minutes_;
};

}  // namespace

std::unique_ptr<Command> make_train() { return std::make_unique<Train>(); }

}  // namespace sluice::cli
