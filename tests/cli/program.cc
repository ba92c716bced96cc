#include "cli/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "support/paths.h"

namespace sluice::test {
namespace {

std::string read_all(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

ProgramResult run_program(const std::vector<std::string>& arguments, const std::string& input,
                          const std::vector<std::string>& environment, const std::string& output) {
  // Files instead of pipes: nothing can block however much is written.
  const TemporaryFolder folder;
  const auto in = folder.path() / "in", out = folder.path() / "out", err = folder.path() / "err";
  std::ofstream(in, std::ios::binary) << input;
  const pid_t child = ::fork();
  if (child == 0) {
    const auto redirect = [](const std::filesystem::path& path, int flags, int descriptor) {
      const int file = ::open(path.c_str(), flags, 0600);
      ::dup2(file, descriptor);
    };
    redirect(in, O_RDONLY, STDIN_FILENO);
    redirect(output.empty() || output == "-" ? out.string() : output, O_WRONLY | O_CREAT,
             STDOUT_FILENO);
    redirect(err, O_WRONLY | O_CREAT, STDERR_FILENO);
    if (output == "-") ::close(STDOUT_FILENO);
    for (const std::string& entry : environment) ::putenv(const_cast<char*>(entry.c_str()));
    std::vector<char*> argv = {const_cast<char*>(SLUICE_PROGRAM)};
    for (const std::string& argument : arguments)
      argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    ::execv(SLUICE_PROGRAM, argv.data());
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ProgramResult result;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = read_all(out);
  result.err = read_all(err);
  return result;
}

Json ProgramResult::json() const {
  Result<Json> document = parse_json(out);
  EXPECT_TRUE(document.ok()) << out << err;
  return document.ok() ? *document : Json();
}

std::vector<Json> ProgramResult::lines() const {
  std::vector<Json> documents;
  for (size_t begin = 0; begin < out.size();) {
    const size_t end = std::min(out.find('\n', begin), out.size());
    Result<Json> document = parse_json(std::string_view(out).substr(begin, end - begin));
    EXPECT_TRUE(document.ok()) << out;
    documents.push_back(document.ok() ? *document : Json());
    begin = end + 1;
  }
  return documents;
}

}  // namespace sluice::test
