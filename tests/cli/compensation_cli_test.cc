// quantize --method gptq from outside: what it gains by its own report, the same bytes however
// often the text is read, both containers, refusals.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "cli/program.h"
#include "support/paths.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::run_program;

class Compensated : public testing::Test {
 protected:
  void SetUp() override {
    std::ofstream text(out("text.txt"));
    for (int i = 0; i < 30; ++i)
      text << "Tom has " << 7 * i << " apples and gives " << i << " to Anna. He has " << 6 * i
           << " left.\n";
    std::ofstream ids(out("ids.jsonl"));
    for (int line = 0; line < 3; ++line) {
      ids << "{\"ids\": [" << line;
      for (int i = 1; i < 70; ++i) ids << ", " << (31 * i * i + 17 * line) % 290;
      ids << "]}\n";
    }
  }
  std::string out(const char* name) const { return (folder_.path() / name).string(); }
  ProgramResult quantize(const std::string& in, const char* result, const char* text,
                         const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"quantize",   in,
                                          out(result),  "--method",
                                          "gptq",       "--calibration-text",
                                          out(text),    "--calibration-context",
                                          "128",        "--json",
                                          "--keep-mtp", "same"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  }
  std::map<std::string, std::string> contents(const char* build) const {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(out(build))) {
      std::ifstream file(entry.path(), std::ios::binary);
      files[entry.path().filename()] = {std::istreambuf_iterator<char>(file), {}};
    }
    return files;
  }
  struct OutputError {
    double plain, written;
  };
  static std::map<std::string, OutputError> output_errors(const Json& report) {
    std::map<std::string, OutputError> lines;
    for (const Json& tensor : report.find("tensors")->items()) {
      const Json* error = tensor.find("output_error");
      if (error == nullptr) continue;
      lines[tensor.find("name")->string()] = {*error->find("plain")->as_double(),
                                              *error->find("written")->as_double()};
    }
    return lines;
  }
  test::TemporaryFolder folder_;
};

// The draft head's layer is among the matrices.
TEST_F(Compensated, LosesLessOfTheOutput) {
  const ProgramResult made =
      quantize("sprout", "one", "text.txt", {"--to", "nvfp4", "--threads", "1"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_NE(made.err.find("in 1 pass;"), std::string::npos) << made.err;
  const Json report = made.json();
  EXPECT_EQ(report.find("calibration")->find("text")->string(), "text.txt");
  const Json* error = report.find("formats")->find("nvfp4")->find("output_error_rms");
  ASSERT_NE(error, nullptr);
  EXPECT_LT(*error->find("written")->as_double(), 0.8 * *error->find("plain")->as_double());
  const auto lines = output_errors(report);
  EXPECT_EQ(*report.find("formats")->find("nvfp4")->find("tensors")->as_int64(),
            static_cast<int64_t>(lines.size()));
  for (const auto& [name, line] : lines) EXPECT_LE(line.written, line.plain) << name;
}

// Products of 72 columns take 21 kB, and 41 kB more while they are factored.
TEST_F(Compensated, PassesAndThreadsChangeNoBit) {
  const std::string tiny = (test::tests_folder() / "model/data/tiny").string();
  const ProgramResult one = quantize(tiny, "one", "ids.jsonl", {"--to", "nvfp4", "--threads", "1"});
  ASSERT_EQ(one.exit_code, 0) << one.out << one.err;
  EXPECT_NE(one.err.find("in 1 pass;"), std::string::npos) << one.err;
  const ProgramResult many =
      quantize(tiny, "many", "ids.jsonl",
               {"--to", "nvfp4", "--threads", "2", "--calibration-memory", "70000"});
  ASSERT_EQ(many.exit_code, 0) << many.out << many.err;
  EXPECT_EQ(many.err.find("in 1 pass;"), std::string::npos) << many.err;
  EXPECT_EQ(contents("one"), contents("many"));
  const ProgramResult refused =
      quantize(tiny, "none", "ids.jsonl", {"--to", "nvfp4", "--calibration-memory", "20000"});
  EXPECT_EQ(refused.exit_code, 4) << refused.out << refused.err;
  EXPECT_FALSE(fs::exists(out("none")) || fs::exists(out("none.partial")));
}

// Killed anywhere, in passes over the text or between matrices, and started again: the same bytes,
// report and card included.
TEST_F(Compensated, AKilledBuildGoesOnToTheSameBytes) {
  const std::string tiny = (test::tests_folder() / "model/data/tiny").string();
  const std::vector<std::string> flags = {"--to", "nvfp4", "--calibration-memory", "70000"};
  ASSERT_EQ(quantize(tiny, "whole", "ids.jsonl", flags).exit_code, 0);
  const auto expected = contents("whole");
  std::mt19937 random(5);
  for (int i = 0; i < 12; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::execl(SLUICE_PROGRAM, SLUICE_PROGRAM, "quantize", tiny.c_str(), out("killed").c_str(),
              "--to", "nvfp4", "--method", "gptq", "--calibration-text", out("ids.jsonl").c_str(),
              "--calibration-context", "128", "--keep-mtp", "same", "--calibration-memory", "70000",
              "--quiet", nullptr);
      ::_exit(127);
    }
    ::usleep(std::uniform_int_distribution<useconds_t>(1000, 200'000)(random));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!fs::exists(out("killed"))) {
      if (i % 3 != 2) continue;  // the next run goes on, and is killed as well
      const ProgramResult rest = quantize(tiny, "killed", "ids.jsonl", flags);
      ASSERT_EQ(rest.exit_code, 0) << rest.out << rest.err;
    }
    EXPECT_TRUE(contents("killed") == expected) << i;
    fs::remove_all(out("killed"));
  }
}

// Value heads stand in another order in a GGUF; what plain rounding loses does not depend on that.
TEST_F(Compensated, ContainersOfOneModelLoseTheSame) {
  const ProgramResult made = run_program({"convert", "sprout", out("m.gguf"), "--to", "gguf"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const std::vector<std::string> flags = {"--to", "fp8-block", "--calibration-tokens",
                                          "100",  "--threads", "1"};
  const ProgramResult a = quantize("sprout", "a", "text.txt", flags);
  const ProgramResult b = quantize(out("m.gguf"), "b", "text.txt", flags);
  ASSERT_EQ(a.exit_code, 0) << a.out << a.err;
  ASSERT_EQ(b.exit_code, 0) << b.out << b.err;
  EXPECT_EQ(*a.json().find("calibration")->find("tokens")->as_int64(), 100);
  const auto of_a = output_errors(a.json()), of_b = output_errors(b.json());
  EXPECT_EQ(of_a.size(), of_b.size());
  EXPECT_GT(of_a.size(), 20u);
  for (const auto& [name, line] : of_a) {
    ASSERT_TRUE(of_b.contains(name)) << name;
    EXPECT_NEAR(line.plain, of_b.at(name).plain, 1e-3 * line.plain) << name;
  }
}

TEST_F(Compensated, RefusalsSayWhatIsMissing) {
  struct Refusal {
    std::vector<std::string> arguments;
    int exit_code;
    const char* words;
  };
  const std::string text = out("text.txt");
  for (const auto& [arguments, exit_code, words] : std::vector<Refusal>{
           {{"--to", "nvfp4", "--method", "gptq"}, 2, "--calibration-text"},
           {{"--to", "nvfp4", "--calibration-text", text}, 2, "--method gptq"},
           {{"--to", "nvfp4", "--method", "awq"}, 2, "awq"},
           {{"--to", "q4_k_m", "--method", "gptq", "--calibration-text", text}, 2, "fp8_channel"},
           {{"--to", "nvfp4", "--method", "gptq", "--calibration-text", out("none")}, 3, "none"}}) {
    std::vector<std::string> all = {"quantize", "sprout", out("refused")};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const ProgramResult result = run_program(all);
    EXPECT_EQ(result.exit_code, exit_code) << words << ": " << result.err;
    EXPECT_NE(result.err.find(words), std::string::npos) << words << ": " << result.err;
    EXPECT_FALSE(fs::exists(out("refused")) || fs::exists(out("refused.partial"))) << words;
  }
}

}  // namespace
}  // namespace sluice
