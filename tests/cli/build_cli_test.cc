// convert, quantize, strip and graft from outside: results that load and compute the same, refusals
// with their exit codes, and what a kill leaves behind.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "cli/program.h"
#include "model/editable_model.h"
#include "support/paths.h"
#include "support/sha256.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::run_program;

std::string read_bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Hash by name of all files below.
std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string bytes = read_bytes(entry.path());
    out[entry.path().filename()] = test::sha256_hex(std::as_bytes(std::span(bytes)));
  }
  return out;
}

void expect_done(const std::vector<std::string>& arguments) {
  const ProgramResult result = run_program(arguments);
  EXPECT_EQ(result.exit_code, 0) << arguments[0] << ": " << result.err;
}

std::vector<float> logits_of(const std::string& model, const fs::path& folder) {
  const fs::path out = folder / "logits.safetensors";
  fs::remove(out);
  expect_done({"logits", model, "--backend", "ref", "--ids", "5,99,1000,7,345,12,88,2001",
               "--positions", "all", "--out", out});
  const auto opened = checkpoint::Checkpoint::open(out, checkpoint::Purpose::kAnyFile);
  if (!opened.ok()) return {};
  const checkpoint::StoredTensor* stored = opened->find("logits");
  std::vector<float> values(stored->bytes.size() / sizeof(float));
  std::memcpy(values.data(), stored->bytes.data(), stored->bytes.size());
  return values;
}

Json inspect(const fs::path& model) {
  const ProgramResult result = run_program({"inspect", model, "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  return result.json();
}

class Builds : public testing::Test {
 protected:
  std::string out(const char* name) const { return (folder_.path() / name).string(); }
  test::TemporaryFolder folder_;
};

TEST_F(Builds, ConvertedBuildsComputeWhatTheSourceComputes) {
  const std::vector<float> before = logits_of("sprout", folder_.path());
  ASSERT_FALSE(before.empty());
  expect_done({"convert", "sprout", out("a.gguf"), "--to", "gguf"});
  expect_done({"convert", out("a.gguf"), out("back"), "--to", "safetensors"});
  EXPECT_EQ(logits_of(out("back"), folder_.path()), before);
  // The value heads of a GGUF stand in another order, so sums do as well.
  const std::vector<float> gguf = logits_of(out("a.gguf"), folder_.path());
  ASSERT_EQ(gguf.size(), before.size());
  float largest = 0;
  for (size_t i = 0; i < gguf.size(); ++i)
    largest = std::max(largest, std::fabs(gguf[i] - before[i]));
  EXPECT_LE(largest, 2e-4f);  // ../shared/goldens/gguf/README.md, for an engine in float32
  EXPECT_TRUE(inspect(out("a.gguf")).find("mtp")->find("usable")->boolean());
}

TEST_F(Builds, EveryTargetOfTheDemoModelRunsAndReports) {
  for (const std::string target : {"q8_0", "q4_k_m", "q4_0"}) {
    const std::string file = out((target + ".gguf").c_str());
    const ProgramResult result =
        run_program({"quantize", "sprout", file, "--to", target, "--json"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const Json report = result.json();
    EXPECT_EQ(report.find("target")->string(), target);
    EXPECT_EQ(report.find("formats")->find("bf16") != nullptr, true);  // the draft head
    EXPECT_TRUE(inspect(file).find("mtp")->find("usable")->boolean());
    EXPECT_TRUE(fs::exists(out((target + ".quantization_report.json").c_str())));
    const std::string card = read_bytes(out((target + ".README.md").c_str()));
    for (const char* plot : {".error_by_layer.svg", ".size_by_format.svg"}) {
      EXPECT_TRUE(fs::exists(out((target + plot).c_str()))) << target << plot;
      EXPECT_NE(card.find("](" + target + plot + ")"), std::string::npos) << target << plot;
    }
  }
  for (const std::vector<std::string>& target : {std::vector<std::string>{"fp8-block"},
                                                 {"fp8-channel"},
                                                 {"nvfp4"},
                                                 {"nvfp4", "--layout", "modelopt"},
                                                 {"mixed"}}) {
    std::vector<std::string> arguments = {"quantize", "sprout", out("folder"), "--to"};
    arguments.insert(arguments.end(), target.begin(), target.end());
    arguments.push_back("--overwrite");
    expect_done(arguments);
    EXPECT_EQ(inspect(out("folder")).find("problems")->items().size(), 0u) << target[0];
    EXPECT_TRUE(fs::exists(fs::path(out("folder")) / "quantization_report.json"));
    EXPECT_FALSE(fs::exists(out("folder.partial")) || fs::exists(out("folder.replaced")));
  }
}

TEST_F(Builds, ProofNamesWhatWasLost) {
  std::string text;
  for (int i = 0; i < 24; ++i)
    text += "What is " + std::to_string(7 * i) + " + " + std::to_string(i) + "? It is " +
            std::to_string(8 * i) + ".\n";
  std::ofstream(out("text.txt")) << text;
  const ProgramResult result = run_program({"quantize", "sprout", out("q.gguf"), "--to", "q4_0",
                                            "--report-text", out("text.txt"), "--report-context",
                                            "128", "--accept", "draft-acceptance", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json report = result.json();
  const Json* proof = report.find("proof");
  ASSERT_NE(proof, nullptr);
  EXPECT_GT(*proof->find("kld")->find("mean")->as_double(), 0);
  EXPECT_GT(*proof->find("ppl")->find("before")->as_double(), 1);
  const Json* drafts = proof->find("acceptance");
  ASSERT_NE(drafts, nullptr);
  EXPECT_GE(drafts->find("before")->items().size(), 1u);
  EXPECT_GE(drafts->find("after")->items().size(), 1u);
  EXPECT_NE(read_bytes(out("q.README.md")).find("KL divergence"), std::string::npos);
  EXPECT_NE(result.err.find("source and result together take"), std::string::npos) << result.err;

  // Where memory holds one of the two models but not both, the figures are the same to the last
  // digit. The plan of `sluice plan` is for one sequence as well.
  const Json plan =
      run_program({"plan", "sprout", "--context", "128", "--sequences", "1", "--json"}).json();
  const uint64_t one = *plan.find("total")->as_uint64();
  const auto in_turn = [&](uint64_t memory) {
    return run_program({"quantize", "sprout", out("turn.gguf"), "--to", "q4_0", "--report-text",
                        out("text.txt"), "--report-context", "128", "--accept", "draft-acceptance",
                        "--json", "--report-memory", std::to_string(memory)});
  };
  const ProgramResult other = in_turn(one + one / 4);
  ASSERT_EQ(other.exit_code, 0) << other.err << other.out;
  EXPECT_NE(other.err.find("source and result in turn take"), std::string::npos) << other.err;
  EXPECT_EQ(other.json().find("proof")->dump(), proof->dump());
  for (const auto& entry : fs::directory_iterator(folder_.path()))
    EXPECT_EQ(entry.path().filename().string().find("rows"), std::string::npos) << entry.path();
  fs::remove(out("turn.gguf"));
  const ProgramResult refused = in_turn(one / 4);
  EXPECT_EQ(refused.exit_code, 4) << refused.out << refused.err;
  EXPECT_FALSE(fs::exists(out("turn.gguf")) || fs::exists(out("turn.gguf.partial")));
}

// From the flag to the files: the size is kept, and every part is named with what it costs.
TEST_F(Builds, AutomaticFormatsKeepTheirBudget) {
  std::string text;
  for (int i = 0; i < 12; ++i) text += "The cat has " + std::to_string(3 * i) + " fish.\n";
  std::ofstream(out("text.txt")) << text;
  constexpr uint64_t kBudget = 11'000'000;
  const ProgramResult result =
      run_program({"quantize", "sprout", out("auto"), "--to", "fp8_channel", "--auto", "11MB",
                   "--report-text", out("text.txt"), "--report-context", "32", "--report-tokens",
                   "64", "--auto-tokens", "32", "--accept", "draft-acceptance", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json report = result.json();
  const Json* automatic = report.find("automatic");
  ASSERT_NE(automatic, nullptr);
  const uint64_t bytes = fs::file_size(fs::path(out("auto")) / "model.safetensors");
  EXPECT_LE(bytes, kBudget);
  EXPECT_GT(bytes, kBudget - 600'000);  // no part gains more by BF16
  EXPECT_EQ(automatic->find("file_bytes")->as_uint64(), bytes);
  const std::string card = read_bytes(fs::path(out("auto")) / "README.md");
  ASSERT_GT(automatic->find("parts")->items().size(), 10u);
  std::map<std::string, int> formats;
  for (const Json& part : automatic->find("parts")->items()) {
    ++formats[part.find("format")->string()];
    EXPECT_GE(*part.find("kld")->as_double(), 0);
    EXPECT_NE(card.find("| " + part.find("part")->string() + " |"), std::string::npos);
  }
  EXPECT_GT(formats["bf16"], 0);
  EXPECT_GT(formats["fp8_channel"], 0);
  EXPECT_EQ(inspect(out("auto")).find("problems")->items().size(), 0u);
}

// A donor that lies about its head: every sign of the matrix that joins its two inputs is wrong.
TEST_F(Builds, AHeadThatDraftsBadlyIsRefusedUnlessAccepted) {
  const fs::path sprout = test::tests_folder().parent_path() / "models" / "sprout";
  test::EditableModel donor(sprout);
  std::string& joined = donor.tensor("mtp.fc.weight").bytes;
  for (size_t i = 1; i < joined.size(); i += 2) joined[i] = static_cast<char>(joined[i] ^ 0x80);
  donor.write(out("donor"));
  std::string text;
  for (int i = 0; i < 9; ++i)
    text += "The cat has " + std::to_string(3 * i) + " fish. How many fish has the cat?\n";
  std::ofstream(out("text.txt")) << text;
  const auto graft = [&](const std::string& in, const std::string& from,
                         std::vector<std::string> more) {
    std::vector<std::string> arguments = {"graft",
                                          in,
                                          from,
                                          out("grafted"),
                                          "--report-text",
                                          out("text.txt"),
                                          "--report-context",
                                          "64",
                                          "--json",
                                          "--threads",
                                          "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  };
  const ProgramResult refused = graft("sprout", out("donor"), {});
  EXPECT_EQ(refused.exit_code, 5) << refused.out << refused.err;
  EXPECT_NE(refused.out.find("draft-acceptance"), std::string::npos) << refused.out;
  EXPECT_FALSE(fs::exists(out("grafted")) || fs::exists(out("grafted.partial")));

  const ProgramResult accepted = graft("sprout", out("donor"), {"--accept", "draft-acceptance"});
  ASSERT_EQ(accepted.exit_code, 0) << accepted.out << accepted.err;
  const Json report = accepted.json();
  const Json* drafts = report.find("proof")->find("acceptance");
  EXPECT_LT(*drafts->find("after")->items()[0].as_double(),
            0.9 * *drafts->find("before")->items()[0].as_double());
  EXPECT_NE(read_bytes(fs::path(out("grafted")) / "README.md").find("draft-acceptance"),
            std::string::npos);
  fs::remove_all(out("grafted"));

  // The head that the model already had passes.
  const ProgramResult kept = graft("sprout", sprout.string(), {});
  EXPECT_EQ(kept.exit_code, 0) << kept.out << kept.err;
  fs::remove_all(out("grafted"));

  // A model without a head: the donor's head is held to what it drafts at home. Here it is as bad
  // as on the other model.
  expect_done({"strip", "sprout", out("headless"), "--mtp"});
  const ProgramResult equal = graft(out("headless"), out("donor"), {});
  ASSERT_EQ(equal.exit_code, 0) << equal.out << equal.err;
  const Json compared = *equal.json().find("proof")->find("acceptance");
  EXPECT_EQ(compared.find("before_of")->string(), "donor");
  EXPECT_EQ(compared.find("before")->dump(), compared.find("after")->dump());
  EXPECT_NE(read_bytes(fs::path(out("grafted")) / "README.md").find("the donor's own"),
            std::string::npos);
  fs::remove_all(out("grafted"));
  // A good head on a model that it was not made for: half of its last hidden values have their sign
  // changed (the factor 1 + weight is -2 there).
  test::EditableModel other(sprout);
  std::string& norm = other.tensor("model.norm.weight").bytes;
  for (size_t i = 0; i < norm.size(); i += 4) norm.replace(i, 2, "\x40\xC0", 2);
  other.write(out("other"));
  expect_done({"strip", out("other"), out("other-headless"), "--mtp"});
  const ProgramResult worse = graft(out("other-headless"), sprout.string(), {});
  EXPECT_EQ(worse.exit_code, 5) << worse.out << worse.err;
  EXPECT_NE(worse.out.find("of the donor's do"), std::string::npos) << worse.out;
}

TEST_F(Builds, AGraftWithoutATextSaysThatNothingWasCompared) {
  expect_done({"strip", "sprout", out("headless"), "--mtp"});
  const ProgramResult made = run_program({"graft", out("headless"), "sprout", out("whole")});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_NE(made.out.find("was not measured; --report-text"), std::string::npos) << made.out;
  EXPECT_NE(read_bytes(fs::path(out("whole")) / "README.md").find("was not measured"),
            std::string::npos);
}

TEST_F(Builds, StripAndGraftPutTheHeadBack) {
  expect_done({"convert", "sprout", out("a.gguf"), "--to", "gguf"});
  expect_done({"strip", out("a.gguf"), out("plain.gguf"), "--mtp"});
  EXPECT_FALSE(inspect(out("plain.gguf")).find("mtp")->find("present")->boolean());
  expect_done({"graft", out("plain.gguf"), "sprout", out("whole.gguf")});
  const auto before = checkpoint::Checkpoint::open(out("a.gguf"));
  const auto after = checkpoint::Checkpoint::open(out("whole.gguf"));
  ASSERT_TRUE(before.ok() && after.ok());
  EXPECT_EQ(before->tensors().size(), after->tensors().size());
  for (const auto& tensor : before->tensors()) {
    const auto* other = after->find(tensor.name);
    ASSERT_NE(other, nullptr) << tensor.name;
    EXPECT_TRUE(std::equal(tensor.bytes.begin(), tensor.bytes.end(), other->bytes.begin(),
                           other->bytes.end()))
        << tensor.name;
  }
  // A quantized build keeps its bytes, and its config goes on describing them.
  expect_done({"quantize", "sprout", out("nv"), "--to", "nvfp4", "--keep-mtp", "none"});
  expect_done({"graft", out("nv"), out("a.gguf"), out("nv-head")});
  EXPECT_TRUE(inspect(out("nv-head")).find("mtp")->find("usable")->boolean());
  EXPECT_EQ(inspect(out("nv-head")).find("problems")->items().size(), 0u);
}

TEST_F(Builds, StrippedTowerLeavesATextOnlyModel) {
  SLUICE_REQUIRE_SHARED(golden, "goldens/formats/ct-nvfp4");
  expect_done({"strip", golden, out("text"), "--vision"});
  const Json report = inspect(out("text"));
  EXPECT_FALSE(report.find("vision")->find("present")->boolean());
  for (const Json& problem : report.find("problems")->items())  // the golden has no tokenizer
    EXPECT_NE(problem.find("message")->string().find("tokenizer"), std::string::npos);
  const std::string config = read_bytes(fs::path(out("text")) / "config.json");
  EXPECT_NE(config.find("Qwen3_5ForCausalLM"), std::string::npos);
  EXPECT_EQ(config.find("vision_config"), std::string::npos);
  EXPECT_EQ(config.find("model.language_model."), std::string::npos);
  // A tower that is kept comes through a quantization byte by byte.
  SLUICE_REQUIRE_SHARED(other, "goldens/formats/ct-fp8-dynamic");
  expect_done({"quantize", other, out("kept"), "--to", "fp8-block"});
  EXPECT_TRUE(inspect(out("kept")).find("vision")->find("present")->boolean());
  const auto a = checkpoint::Checkpoint::open(other), b = checkpoint::Checkpoint::open(out("kept"));
  ASSERT_TRUE(a.ok() && b.ok());
  size_t compared = 0;
  for (const auto& tensor : a->tensors()) {
    if (!tensor.name.starts_with("model.visual.")) continue;
    const auto* copy = b->find(tensor.name);
    ASSERT_NE(copy, nullptr) << tensor.name;
    EXPECT_TRUE(std::equal(tensor.bytes.begin(), tensor.bytes.end(), copy->bytes.begin(),
                           copy->bytes.end()));
    ++compared;
  }
  EXPECT_GT(compared, 0u);
}

TEST_F(Builds, AGgufHasItsTowerBesideIt) {
  SLUICE_REQUIRE_SHARED(golden, "goldens/vlm-r1-tied-mtp");
  expect_done({"convert", golden, out("a.gguf"), "--to", "gguf"});
  const Json report = inspect(out("a.gguf"));
  EXPECT_EQ(report.find("vision")->find("file")->string(), "mmproj-a-BF16.gguf");
  EXPECT_TRUE(report.find("vision")->find("present")->boolean());
  EXPECT_EQ(report.find("parameters")->find("vision")->as_uint64(),
            inspect(golden).find("parameters")->find("vision")->as_uint64());
  EXPECT_NE(read_bytes(out("a.README.md")).find("mmproj-a-BF16.gguf"), std::string::npos);
  // Taken along by what copies, left out by name.
  const std::string tower = read_bytes(out("mmproj-a-BF16.gguf"));
  expect_done({"strip", out("a.gguf"), out("b.gguf"), "--mtp"});
  EXPECT_EQ(read_bytes(out("mmproj-b-BF16.gguf")), tower);
  expect_done({"graft", out("b.gguf"), out("a.gguf"), out("c.gguf")});
  EXPECT_EQ(read_bytes(out("mmproj-c-BF16.gguf")), tower);
  expect_done({"strip", out("a.gguf"), out("text.gguf"), "--vision"});
  EXPECT_FALSE(inspect(out("text.gguf")).find("vision")->find("present")->boolean());
  expect_done({"quantize", out("a.gguf"), out("d.gguf"), "--to", "q8_0", "--vision-type", "f16"});
  EXPECT_TRUE(fs::exists(out("mmproj-d-F16.gguf")));
  // A damaged one keeps nobody from the text model.
  std::ofstream(out("mmproj-a-BF16.gguf"), std::ios::binary) << tower.substr(0, tower.size() / 2);
  const Json damaged = inspect(out("a.gguf"));
  EXPECT_FALSE(damaged.find("vision")->find("present")->boolean());
  EXPECT_EQ(damaged.find("problems")->items().at(0).find("severity")->string(), "warning");
  EXPECT_EQ(run_program({"convert", out("a.gguf"), out("e"), "--to", "safetensors"}).exit_code, 3);
  expect_done({"convert", out("a.gguf"), out("e"), "--to", "safetensors", "--strip-vision"});
  EXPECT_EQ(
      run_program({"convert", golden, out("f"), "--to", "safetensors", "--vision-type", "f16"})
          .exit_code,
      2);
}

TEST_F(Builds, RefusalsHaveTheirExitCodes) {
  expect_done({"convert", "sprout", out("a.gguf"), "--to", "gguf"});
  fs::create_directories(folder_.path() / "photos" / "holiday");
  std::ofstream(folder_.path() / "photos" / "config.json") << "{}";
  std::ofstream(out("c.README.md")) << "mine";
  struct Refusal {
    std::vector<std::string> arguments;
    int exit_code;
  };
  for (const auto& [arguments, exit_code] : std::vector<Refusal>{
           {{"convert", "sprout", out("a.gguf"), "--to", "gguf"}, 2},  // exists
           {{"convert", out("a.gguf"), out("a.gguf"), "--to", "gguf", "--overwrite"}, 2},
           {{"convert", "sprout", out("photos"), "--to", "safetensors", "--overwrite"}, 2},
           {{"convert", "sprout", out("no/such/folder"), "--to", "safetensors"}, 2},
           {{"convert", "sprout", out("c.gguf"), "--to", "gguf"}, 2},  // c.README.md is somebody's
           {{"convert", "sprout", out("b.gguf"), "--to", "safetensors"}, 2},
           {{"convert", "sprout", out("b"), "--to", "safetensors", "--type", "f16"}, 2},
           {{"convert", "sprout", out("b"), "--to", "tar"}, 2},
           {{"quantize", "sprout", out("b"), "--to", "q4_magic"}, 2},
           {{"quantize", "sprout", out("b"), "--to", "nvfp4", "--auto", "9MB"}, 2},  // no text
           {{"quantize", "sprout", out("b"), "--to", "nvfp4", "--auto", "9XB", "--report-text",
             out("c.README.md")},
            2},
           {{"quantize", "sprout", out("b"), "--to", "nvfp4", "--auto", "1KiB", "--report-text",
             out("c.README.md")},
            2},
           {{"quantize", "sprout", out("b.gguf"), "--to", "q4_0", "--auto-kld", "0.01",
             "--auto-text", out("c.README.md")},
            2},
           {{"quantize", "sprout", out("b"), "--to", "nvfp4", "--layout", "official"}, 2},
           {{"quantize", "sprout", out("b"), "--to", "nvfp4-a4"}, 2},  // needs ranges
           {{"quantize", "sprout", out("b.gguf"), "--to", "q4_0", "--imatrix", out("a.gguf")}, 3},
           {{"quantize", "sprout", out("b.gguf"), "--to", "q4_0", "--imatrix", out("none")}, 3},
           {{"quantize", out("photos"), out("b"), "--to", "nvfp4"}, 3},
           {{"strip", out("a.gguf"), out("b.gguf")}, 2},
           {{"strip", out("a.gguf"), out("b.gguf"), "--vision"}, 2},  // has none
           {{"graft", out("a.gguf"), (test::tests_folder() / "model" / "data" / "tiny").string(),
             out("b.gguf")},
            3}}) {
    const ProgramResult result = run_program(arguments);
    std::string line;
    for (const std::string& argument : arguments) line += argument + " ";
    EXPECT_EQ(result.exit_code, exit_code) << line << result.err;
    EXPECT_NE(result.err.find("sluice: error: "), std::string::npos) << line;
    EXPECT_FALSE(fs::exists(out("b")) || fs::exists(out("b.gguf"))) << line;
    EXPECT_FALSE(fs::exists(out("b.partial")) || fs::exists(out("b.gguf.partial"))) << line;
  }
}

TEST_F(Builds, AFolderThatCannotBeWrittenIsExitOne) {
  if (::geteuid() == 0) GTEST_SKIP() << "the superuser may write everywhere";
  fs::create_directory(folder_.path() / "locked");
  fs::permissions(folder_.path() / "locked", fs::perms::owner_read | fs::perms::owner_exec);
  const ProgramResult result =
      run_program({"convert", "sprout", out("locked/a.gguf"), "--to", "gguf"});
  EXPECT_EQ(result.exit_code, 1) << result.err;
}

// The size limit of a process stands in for a disk that fills up while writing.
TEST_F(Builds, ADiskThatFillsUpLeavesNothing) {
  const std::string command = "trap '' XFSZ; ulimit -f 2000; exec " SLUICE_PROGRAM
                              " convert sprout " +
                              out("a.gguf") + " --to gguf 2> " + out("err");
  const int status = std::system(command.c_str());
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 1) << read_bytes(out("err"));
  EXPECT_FALSE(fs::exists(out("a.gguf")) || fs::exists(out("a.gguf.partial")));
}

// Killed anywhere, the result is absent or whole; run again, at times killed again on the way, it
// is the one that was never killed.
TEST_F(Builds, AKillLeavesTheOldOrTheNewAndTheNextRunTheSameBytes) {
  expect_done({"quantize", "sprout", out("whole"), "--to", "nvfp4"});
  const auto expected = contents(out("whole"));
  std::mt19937 random(11);
  for (int i = 0; i < 10; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::execl(SLUICE_PROGRAM, SLUICE_PROGRAM, "quantize", "sprout", out("killed").c_str(), "--to",
              "nvfp4", "--quiet", "--json", nullptr);
      ::_exit(127);
    }
    ::usleep(std::uniform_int_distribution<useconds_t>(1000, 200'000)(random));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (fs::exists(out("killed"))) {
      EXPECT_EQ(contents(out("killed")), expected);
      fs::remove_all(out("killed"));
    }
    if (i % 3 != 0) continue;
    expect_done({"quantize", "sprout", out("killed"), "--to", "nvfp4"});
    EXPECT_EQ(contents(out("killed")), expected);
    EXPECT_FALSE(fs::exists(out("killed.partial")));
    fs::remove_all(out("killed"));
  }
}

}  // namespace
}  // namespace sluice
