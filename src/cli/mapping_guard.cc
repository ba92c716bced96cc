#include "cli/mapping_guard.h"

#include <signal.h>
#include <unistd.h>

#include <string_view>

namespace sluice::cli {
namespace {

constexpr std::string_view kMessage =
    "sluice: error: model file: a mapped file became shorter or unreadable while it was in use. "
    "Leave the file alone while sluice runs, check the disk, and start again\n";

extern "C" void explain_and_leave(int) {
  // Only calls that a signal handler may make.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kMessage.data(), kMessage.size());
  ::_exit(1);
}

}  // namespace

void install_mapping_guard() {
  struct sigaction action = {};
  action.sa_handler = explain_and_leave;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace sluice::cli
