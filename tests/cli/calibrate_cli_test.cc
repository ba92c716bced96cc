// calibrate from outside: files that the quantizer takes, the same bytes after kills, refusals with
// their exit codes.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "checkpoint/imatrix.h"
#include "cli/program.h"
#include "support/paths.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using checkpoint::ImportanceMatrix;
using test::ProgramResult;
using test::run_program;

std::string read_bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Calibrate : public testing::Test {
 protected:
  void SetUp() override {
    std::ofstream text(out("text.txt"));
    for (int i = 0; i < 40; ++i)
      text << "Tom has " << 7 * i << " apples and gives " << i << " to Anna. He has " << 6 * i
           << " left.\n";
  }
  std::string out(const char* name) const { return (folder_.path() / name).string(); }
  std::vector<std::string> arguments(const char* target,
                                     const std::vector<std::string>& more = {}) const {
    std::vector<std::string> list = {"calibrate", "sprout",    "--file",       out("text.txt"),
                                     "--out",     out(target), "--context",    "64",
                                     "--threads", "1",         "--save-every", "1"};
    list.insert(list.end(), more.begin(), more.end());
    return list;
  }
  Json calibrated(const std::vector<std::string>& list) const {
    std::vector<std::string> with_json = list;
    with_json.push_back("--json");
    const ProgramResult result = run_program(with_json);
    EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
    return result.json();
  }
  test::TemporaryFolder folder_;
};

TEST_F(Calibrate, BothFormsHoldTheSameAndTheQuantizerTakesThem) {
  const Json report = calibrated(arguments("a.gguf"));
  const int64_t windows = *report.find("windows")->as_int64();
  EXPECT_GT(windows, 5);
  EXPECT_EQ(*report.find("tokens")->as_int64(), 64 * windows);
  EXPECT_TRUE(report.find("draft_head")->boolean());
  calibrated(arguments("b.dat"));
  EXPECT_EQ(read_bytes(out("a.ranges.json")), read_bytes(out("b.ranges.json")));
  const auto gguf = ImportanceMatrix::open(out("a.gguf"));
  const auto legacy = ImportanceMatrix::open(out("b.dat"));
  ASSERT_TRUE(gguf.ok() && legacy.ok());
  EXPECT_EQ(gguf->entries().size(), static_cast<size_t>(*report.find("entries")->as_int64()));
  EXPECT_EQ(gguf->chunks(), static_cast<uint64_t>(windows));
  ASSERT_EQ(gguf->entries().size(), legacy->entries().size());
  for (const auto& entry : gguf->entries()) {
    const auto* other = legacy->find(entry.tensor);
    ASSERT_NE(other, nullptr) << entry.tensor;
    for (size_t i = 0; i < entry.values.size(); ++i)
      EXPECT_NEAR(other->values[i], entry.values[i], entry.values[i] * 2.4e-7f);
  }
  // The draft head's matrices have importance as well, which they have from no other tool.
  EXPECT_NE(gguf->find("blk.4.nextn.eh_proj.weight"), nullptr);
  EXPECT_EQ(gguf->find("token_embd.weight"), nullptr);

  for (const std::vector<std::string>& target :
       {std::vector<std::string>{out("b"), "--to", "nvfp4-a4", "--ranges", out("a.ranges.json")},
        {out("b.gguf"), "--to", "q4_0"}}) {
    std::vector<std::string> list = {"quantize", "sprout"};
    list.insert(list.end(), target.begin(), target.end());
    list.insert(list.end(), {"--imatrix", out("a.gguf"), "--keep-mtp", "same", "--threads", "1"});
    const ProgramResult result = run_program(list);
    EXPECT_EQ(result.exit_code, 0) << target[2] << ": " << result.err;
  }
}

// The same weights in another container: other order of value heads, the same importance.
TEST_F(Calibrate, ContainersOfOneModelGiveOneMatrix) {
  const ProgramResult made = run_program({"convert", "sprout", out("m.gguf"), "--to", "gguf"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const std::vector<std::string> few = {"--backend", "ref", "--chunks", "1"};
  calibrated(arguments("a.gguf", few));
  std::vector<std::string> other = arguments("b.gguf", few);
  other[1] = out("m.gguf");
  calibrated(other);
  const auto a = ImportanceMatrix::open(out("a.gguf")), b = ImportanceMatrix::open(out("b.gguf"));
  ASSERT_TRUE(a.ok() && b.ok());
  ASSERT_EQ(a->entries().size(), b->entries().size());
  for (const auto& entry : a->entries()) {
    const auto* same = b->find(entry.tensor);
    ASSERT_NE(same, nullptr) << entry.tensor;
    ASSERT_EQ(same->values.size(), entry.values.size());
    const float peak = *std::max_element(entry.values.begin(), entry.values.end());
    // Sums run in another order: 2e-4 between the containers' logits (build_cli_test), less here.
    for (size_t i = 0; i < entry.values.size(); ++i)
      EXPECT_NEAR(same->values[i], entry.values[i], 2e-4f * peak) << entry.tensor << " " << i;
  }
}

TEST_F(Calibrate, ConversationsAreReadOneByOne) {
  std::ofstream(out("chats.jsonl"))
      << R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]})"
      << "\n\n"
      << R"({"text": "The cat sat on the mat."})"
      << "\n"
      << R"({"ids": [5, 6, 7]})"
      << "\n";
  std::vector<std::string> list = arguments("a.gguf");
  list[3] = out("chats.jsonl");
  EXPECT_EQ(*calibrated(list).find("windows")->as_int64(), 3);
}

// Killed anywhere, the next run goes on and ends with the bytes of one that was never killed.
TEST_F(Calibrate, AKillCostsNothingThatWasSaved) {
  calibrated(arguments("whole.gguf"));
  int64_t resumed = 0;
  for (int i = 0; i < 3; ++i) {
    const fs::path progress = out("killed.gguf.progress");
    std::vector<std::string> list = arguments("killed.gguf");
    const pid_t child = ::fork();
    if (child == 0) {
      std::vector<char*> raw = {const_cast<char*>(SLUICE_PROGRAM)};
      for (std::string& argument : list) raw.push_back(argument.data());
      raw.push_back(nullptr);
      ::execv(SLUICE_PROGRAM, raw.data());
      ::_exit(127);
    }
    int status = 0;
    while (!fs::exists(progress) && ::waitpid(child, &status, WNOHANG) == 0) ::usleep(500);
    ::usleep(static_cast<useconds_t>(7000 * i));
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    list.push_back("--overwrite");
    resumed += *calibrated(list).find("resumed_at")->as_int64();
    EXPECT_EQ(read_bytes(out("killed.gguf")), read_bytes(out("whole.gguf")));
    EXPECT_EQ(read_bytes(out("killed.ranges.json")), read_bytes(out("whole.ranges.json")));
    EXPECT_FALSE(fs::exists(progress));
    fs::remove(out("killed.gguf"));
    fs::remove(out("killed.ranges.json"));
  }
  EXPECT_GT(resumed, 0);
}

TEST_F(Calibrate, RefusalsHaveTheirExitCodes) {
  std::ofstream(out("short.txt")) << "Too short.";
  std::ofstream(out("bad.jsonl")) << "{\"messages\": 7}\n";
  std::ofstream(out("there.gguf")) << "mine";
  std::ofstream(out("other.gguf.progress")) << "not ours";
  struct Refusal {
    const char* target;
    const char* text;
    std::vector<std::string> more;
    int exit_code;
  };
  for (const auto& [target, text, more, exit_code] :
       std::vector<Refusal>{{"b.bin", "text.txt", {}, 2},
                            {"there.gguf", "text.txt", {}, 2},
                            {"b.gguf", "short.txt", {}, 2},
                            {"b.gguf", "bad.jsonl", {}, 2},
                            {"b.gguf", "none.txt", {}, 3},
                            {"b.gguf", "text.txt", {"--ranges", out("text.txt"), "--overwrite"}, 2},
                            {"b.gguf", "text.txt", {"--ranges", out("b.gguf")}, 2},
                            {"b.gguf", "text.txt", {"--chunks", "0"}, 2},
                            {"other.gguf", "text.txt", {}, 3}}) {
    std::vector<std::string> list = arguments(target, more);
    list[3] = out(text);
    const ProgramResult result = run_program(list);
    EXPECT_EQ(result.exit_code, exit_code) << target << " " << text << ": " << result.err;
    EXPECT_NE(result.err.find("sluice: error: "), std::string::npos);
    EXPECT_FALSE(fs::exists(out("b.gguf")) || fs::exists(out("b.ranges.json"))) << text;
  }
  EXPECT_EQ(read_bytes(out("there.gguf")), "mine");
  EXPECT_EQ(read_bytes(out("text.txt")).find("Tom has 0"), 0u);
}

}  // namespace
}  // namespace sluice
