#include "tools/bench/peer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

extern char** environ;

namespace sluice::tools {
namespace {

constexpr size_t kKeptOutput = size_t{256} << 10;

// Attributes and file actions of posix_spawn, freed on every way out.
class Spawn {
 public:
  explicit Spawn(int output) {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions_, output, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions_, output, STDERR_FILENO);
    // A process group of its own: a timeout ends what it has started too, and an interrupt from the
    // terminal comes to us alone.
    ::posix_spawnattr_init(&attributes_);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP);
    ::posix_spawnattr_setpgroup(&attributes_, 0);
  }
  ~Spawn() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  Spawn(const Spawn&) = delete;
  Spawn& operator=(const Spawn&) = delete;

  int start(pid_t& child, const std::vector<std::string>& words) {
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    return ::posix_spawnp(&child, arguments.front(), &actions_, &attributes_, arguments.data(),
                          environ);
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

// Reads until the other side is closed; false when the deadline passes first.
bool drain(int pipe, std::chrono::steady_clock::time_point deadline, std::string& output) {
  std::array<char, 8192> buffer;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd waiting{pipe, POLLIN, 0};
    const auto wait = std::min<int64_t>(left.count() + 1, 1'000'000);
    const int ready = ::poll(&waiting, 1, static_cast<int>(wait));
    if (ready < 0 && errno != EINTR) return true;
    if (ready <= 0) continue;
    const ssize_t count = ::read(pipe, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return true;
    output.append(buffer.data(), static_cast<size_t>(count));
    if (output.size() > 2 * kKeptOutput) output.erase(0, output.size() - kKeptOutput);
  }
}

// Waits for the child; false when the deadline passes first. It may have closed its output long
// before its end, so that nothing but asking tells.
bool await(pid_t child, std::chrono::steady_clock::time_point deadline, int& status) {
  while (true) {
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child || (ended < 0 && errno != EINTR)) return true;
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace

Result<std::vector<std::string>> split_command(std::string_view command) {
  std::vector<std::string> words;
  char quote = 0;
  bool open = false;  // a word has begun; it may be empty, as "" is
  for (size_t i = 0; i < command.size(); ++i) {
    const char c = command[i];
    if (quote == 0 && (c == ' ' || c == '\t' || c == '\n')) {
      open = false;
      continue;
    }
    if (!open) words.emplace_back();
    open = true;
    if (c == '\\' && quote != '\'' && i + 1 < command.size()) {
      words.back() += command[++i];
    } else if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (quote != 0 && c == quote) {
      quote = 0;
    } else {
      words.back() += c;
    }
  }
  if (quote != 0)
    return usage_error("command", fmt::format("the quote {} is not closed in {}", quote, command));
  if (words.empty()) return usage_error("command", "it has no words", "Name a program");
  return words;
}

Result<PeerRun> run_peer(const std::vector<std::string>& words, double timeout_seconds) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    return failed(words.front(), fmt::format("no pipe: {}", std::strerror(errno)));
  const auto start = std::chrono::steady_clock::now();
  pid_t child = 0;
  const int problem = Spawn(ends[1]).start(child, words);
  ::close(ends[1]);
  if (problem != 0) {
    ::close(ends[0]);
    return usage_error(words.front(), fmt::format("cannot be started: {}", std::strerror(problem)),
                       "Give a program that PATH finds, or its path");
  }
  PeerRun run;
  const auto deadline =
      start + std::chrono::milliseconds(static_cast<int64_t>(timeout_seconds * 1000));
  int status = 0;
  run.timed_out = !drain(ends[0], deadline, run.output) || !await(child, deadline, status);
  ::close(ends[0]);
  if (run.timed_out) {
    ::kill(-child, SIGKILL);
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
  }
  run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  run.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return run;
}

std::optional<double> number_behind(std::string_view output, std::string_view marker) {
  const size_t found = output.rfind(marker);
  if (marker.empty() || found == std::string_view::npos) return std::nullopt;
  const std::string_view rest = output.substr(found + marker.size());
  const size_t digit = rest.find_first_of("0123456789");
  if (digit == std::string_view::npos) return std::nullopt;
  double value = 0;
  const auto parsed = std::from_chars(rest.data() + digit, rest.data() + rest.size(), value);
  if (parsed.ec != std::errc{}) return std::nullopt;
  return value;
}

}  // namespace sluice::tools
