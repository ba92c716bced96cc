// A build that was interrupted or killed goes on where it stopped and ends with the same bytes;
// what an earlier run has left is believed only as far as it can be shown to fit.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "support/paths.h"
#include "tools/quantize/build.h"
#include "tools/quantize/build_journal.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using quantize::BuildEvents;
using quantize::BuildRequest;

std::string read_bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_bytes(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file())
      out[fs::relative(entry.path(), folder).string()] = read_bytes(entry.path());
  }
  return out;
}

// What a run of make_build did, as its caller sees it.
struct Outcome {
  std::optional<Error> error;
  std::vector<size_t> made;  // numbers of the tensors that were made
  size_t total = 0;
  std::vector<std::string> notices;

  bool said(std::string_view words) const {
    for (const std::string& notice : notices) {
      if (notice.find(words) != std::string::npos) return true;
    }
    return false;
  }
};

class Resume : public testing::Test {
 protected:
  Resume() {
    // The one that GGUF has a place for, and the one that is small.
    fs::copy(test::tests_folder().parent_path() / "models" / "sprout", sprout_);
    fs::copy(test::tests_folder() / "model" / "data" / "tiny", tiny_);
    fs::create_directory(folder_.path() / "out");
    fs::create_directory(folder_.path() / "whole");
  }

  // "q4_0" and the like: a lone GGUF; else a folder by that recipe.
  static BuildRequest request(const std::string& target, const fs::path& parent) {
    BuildRequest out;
    out.target = target;
    if (const auto* mixture = quantize::find_mixture(target)) {
      quantize::GgufRequest how;
      how.mixture = mixture;
      out.how = how;
      out.out = parent / "model.gguf";
    } else {
      quantize::SafetensorsRequest how;
      how.recipe = quantize::find_recipe(target);
      how.layout = *quantize::layout_for(*how.recipe, "");
      out.how = how;
      out.out = parent / "model";
    }
    return out;
  }

  Result<convert::Source> open(const std::string& target) const {
    return convert::open_source(quantize::find_mixture(target) != nullptr ? sprout_ : tiny_);
  }

  fs::path out() const { return folder_.path() / "out"; }
  fs::path staging(const std::string& target) const {
    return request(target, out()).out.string() + ".partial";
  }
  fs::path journal(const std::string& target) const { return staging(target) / "build.journal"; }
  fs::path weights(const std::string& target) const {
    return staging(target) /
           (quantize::find_mixture(target) != nullptr ? "model.gguf" : "model.safetensors");
  }

  // Until the journal has its head and a line for each tensor before the one at hand. Gives up: the
  // next run then makes more tensors than the test expects.
  void wait_for_lines(const std::string& target, size_t lines) const {
    for (int turn = 0; turn < 5000; ++turn) {
      const std::string text = read_bytes(journal(target));
      if (static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) >= lines) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  // Runs until tensor `stop` is at hand (all of it if there is none), there interrupted or killed.
  Outcome run(const std::string& target, const fs::path& parent, std::optional<size_t> stop = {},
              bool kill = false) const {
    Outcome out;
    BuildEvents events;
    events.notice = [&](const std::string& line) { out.notices.push_back(line); };
    events.progress = [&](size_t done, size_t total, const std::string&) {
      out.total = total;
      if (stop == done && kill) {
        // What is made lies in buffers for a moment; the kill is to find it in its place.
        wait_for_lines(target, done + 1);
        ::kill(::getpid(), SIGKILL);
      }
      if (stop == done) return false;
      out.made.push_back(done);
      return true;
    };
    const auto source = open(target);
    EXPECT_TRUE(source.ok());
    ThreadPool pool(2);
    const auto report = quantize::make_build(*source, request(target, parent), pool, events);
    if (!report.ok()) out.error = report.error();
    return out;
  }

  void kill_at(const std::string& target, size_t stop) const {
    const pid_t child = ::fork();
    if (child == 0) {
      run(target, out(), stop, true);
      ::_exit(1);  // it did not get there
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  }

  std::map<std::string, std::string> whole(const std::string& target) {
    const Outcome made = run(target, folder_.path() / "whole");
    EXPECT_FALSE(made.error.has_value());
    total_ = made.total;
    return contents(folder_.path() / "whole");
  }

  // The next run makes the tensors from `first` on and the build is the uninterrupted one.
  Outcome expect_rest(const std::string& target, size_t first,
                      const std::map<std::string, std::string>& expected) const {
    const Outcome rest = run(target, out());
    EXPECT_FALSE(rest.error.has_value()) << (rest.error ? rest.error->message() : "");
    EXPECT_EQ(rest.made.size(), total_ - first);
    EXPECT_TRUE(rest.made.empty() || rest.made.front() == first) << rest.made.front();
    EXPECT_TRUE(contents(out()) == expected) << target << " after " << first;
    for (const auto& entry : fs::directory_iterator(out())) fs::remove_all(entry.path());
    return rest;
  }

  test::TemporaryFolder folder_;
  const fs::path tiny_ = folder_.path() / "tiny", sprout_ = folder_.path() / "sprout";
  size_t total_ = 0;
};

class ResumeOf : public Resume, public testing::WithParamInterface<const char*> {};

TEST_P(ResumeOf, GoesOnAfterAnInterruptionAtAnyTensor) {
  const std::string target = GetParam();
  const auto expected = whole(target);
  ASSERT_GT(total_, 20u);
  // Two that follow each other: one of them ends between the codes of an NVFP4 weight and their
  // scales.
  std::vector<size_t> stops = {total_ / 2, total_ / 2 + 1, 1};
  if (quantize::find_mixture(target) != nullptr) stops.resize(1);  // a larger model, no scales
  for (const size_t stop : stops) {
    const Outcome first = run(target, out(), stop);
    ASSERT_TRUE(first.error && first.error->code == ErrorCode::kInterrupted);
    EXPECT_TRUE(expect_rest(target, stop, expected).said("goes on"));
  }
}

TEST_P(ResumeOf, GoesOnAfterKills) {
  const std::string target = GetParam();
  const auto expected = whole(target);
  for (const size_t stop : {total_ / 3, total_ - 1}) kill_at(target, stop);
  expect_rest(target, total_ - 1, expected);
}

// A kill that waits for nothing may lose what was on its way to the disk, never more: the journal
// says of no tensor that it is there which is not.
TEST_P(ResumeOf, GoesOnAfterKillsAtAnyMoment) {
  const std::string target = GetParam();
  const auto expected = whole(target);
  const pid_t child = ::fork();
  if (child == 0) {
    BuildEvents events;
    events.progress = [&](size_t done, size_t, const std::string&) {
      if (done == total_ / 2) ::kill(::getpid(), SIGKILL);
      return true;
    };
    const auto source = open(target);
    ThreadPool pool(2);
    (void)quantize::make_build(*source, request(target, out()), pool, events);
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  const auto left = quantize::parse_journal(read_bytes(journal(target)));
  ASSERT_TRUE(left.ok());
  EXPECT_LE(left->entries.size(), total_ / 2);
  expect_rest(target, left->entries.size(), expected);
}

INSTANTIATE_TEST_SUITE_P(Targets, ResumeOf, testing::Values("q4_0", "nvfp4", "mixed", "fp8_block"));

// A run that ends while the written model is being measured has nothing left to make.
TEST_F(Resume, KeepsAllTensorsWhileTheBuildIsJudged) {
  const auto expected = whole("nvfp4");
  BuildEvents events;
  events.judge = [](const fs::path&, quantize::BuildReport&) -> Status {
    return quantize::interrupted("the proof");
  };
  const auto source = open("nvfp4");
  ThreadPool pool(1);
  ASSERT_FALSE(quantize::make_build(*source, request("nvfp4", out()), pool, events).ok());
  expect_rest("nvfp4", total_, expected);
}

// Memory may be there another time.
TEST_F(Resume, KeepsAllTensorsWhereMemoryIsShort) {
  const auto expected = whole("nvfp4");
  BuildEvents events;
  events.judge = [](const fs::path&, quantize::BuildReport&) -> Status {
    return Error{ErrorCode::kDoesNotFit, "the proof", "does not fit", {}};
  };
  std::string said;
  events.notice = [&](const std::string& line) { said += line; };
  const auto source = open("nvfp4");
  ThreadPool pool(1);
  ASSERT_FALSE(quantize::make_build(*source, request("nvfp4", out()), pool, events).ok());
  EXPECT_NE(said.find("the same command goes on"), std::string::npos) << said;
  expect_rest("nvfp4", total_, expected);
}

// Every other failure leaves nothing.
TEST_F(Resume, ARefusedBuildIsGone) {
  BuildEvents events;
  events.judge = [](const fs::path&, quantize::BuildReport&) -> Status {
    return Error{ErrorCode::kRefused, "the build", "is bad", {}};
  };
  const auto source = open("nvfp4");
  ThreadPool pool(1);
  ASSERT_FALSE(quantize::make_build(*source, request("nvfp4", out()), pool, events).ok());
  EXPECT_TRUE(fs::is_empty(out()));
}

// A disk that is full, as a limit on the size of files: the writer's error is the build's, and
// nothing is left that looks like one.
TEST_F(Resume, ADiskThatIsFullLeavesNothing) {
  const auto expect_nothing = [&](const std::string& target, uint64_t limit) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::signal(SIGXFSZ, SIG_IGN);
      const rlimit most{limit, limit};
      ::setrlimit(RLIMIT_FSIZE, &most);
      const Outcome full = run(target, out());
      const bool said = full.error && full.error->code == ErrorCode::kFailed &&
                        full.error->why.find("File too large") != std::string::npos;
      ::_exit(said ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << target << " " << limit;
    EXPECT_TRUE(fs::is_empty(out())) << target << " " << limit;
  };
  uint64_t largest = 0;
  for (const auto& [name, bytes] : whole("fp8_block"))
    largest = std::max<uint64_t>(largest, bytes.size());
  for (const uint64_t limit : {largest - 1, largest / 2, uint64_t{10'000}})
    expect_nothing("fp8_block", limit);
  expect_nothing("q4_0", uint64_t{1} << 21);
}

// ---------------------------------------------- what is not believed

constexpr size_t kStop = 12;
constexpr const char* kTarget = "fp8_block";

class Distrust : public Resume {
 protected:
  Distrust() {
    expected_ = whole(kTarget);
    run(kTarget, out(), kStop);
  }
  std::vector<std::string> lines() const {
    std::vector<std::string> out;
    std::ifstream file(journal(kTarget));
    for (std::string line; std::getline(file, line);) out.push_back(line + "\n");
    return out;
  }
  void set_lines(const std::vector<std::string>& lines) const {
    std::string text;
    for (const std::string& line : lines) text += line;
    write_bytes(journal(kTarget), text);
  }
  // The number of the tensor whose last byte is the file's: tensors are made in another order than
  // that in which they stand.
  size_t last_in_file() const {
    const auto parsed = quantize::parse_journal(read_bytes(journal(kTarget)));
    const auto built = checkpoint::Checkpoint::open(folder_.path() / "whole" / "model");
    EXPECT_TRUE(parsed.ok() && built.ok());
    size_t last = 0;
    const std::byte* place = nullptr;
    for (size_t i = 0; i < parsed->entries.size(); ++i) {
      const auto* stored = built->find(parsed->entries[i].tensor);
      EXPECT_NE(stored, nullptr) << parsed->entries[i].tensor;
      if (stored == nullptr || stored->bytes.data() <= place) continue;
      place = stored->bytes.data();
      last = i;
    }
    return last;
  }
  std::map<std::string, std::string> expected_;
};

TEST_F(Distrust, OfWeightsThatWereCutOff) {
  const size_t last = last_in_file();
  fs::resize_file(weights(kTarget), fs::file_size(weights(kTarget)) - 1);
  EXPECT_TRUE(expect_rest(kTarget, last, expected_).said("made again"));
}

TEST_F(Distrust, OfWeightsThatWereChanged) {
  std::string bytes = read_bytes(weights(kTarget));
  bytes.back() ^= 1;
  const size_t last = last_in_file();
  write_bytes(weights(kTarget), bytes);
  EXPECT_TRUE(expect_rest(kTarget, last, expected_).said("made again"));
}

TEST_F(Distrust, OfAnotherHeader) {
  std::string bytes = read_bytes(weights(kTarget));
  bytes[30] ^= 1;
  write_bytes(weights(kTarget), bytes);
  EXPECT_TRUE(expect_rest(kTarget, 0, expected_).said("made again"));
}

TEST_F(Distrust, OfAJournalWithoutItsWeights) {
  fs::remove(weights(kTarget));
  EXPECT_TRUE(expect_rest(kTarget, 0, expected_).said("made again"));
}

TEST_F(Distrust, OfWeightsWithoutAJournal) {
  fs::remove(journal(kTarget));
  EXPECT_TRUE(expect_rest(kTarget, 0, expected_).said("has no journal"));
}

TEST_F(Distrust, OfALineThatWasChangedLostOrMoved) {
  const auto good = lines();
  ASSERT_EQ(good.size(), kStop + 1);
  auto changed = good;
  const size_t place = changed[5].find("squared_norm") + 16;
  changed[5][place] = changed[5][place] == '1' ? '2' : '1';
  set_lines(changed);
  EXPECT_TRUE(expect_rest(kTarget, 4, expected_).said("damaged"));

  run(kTarget, out(), kStop);
  auto lost = good;
  lost.erase(lost.begin() + 3);
  set_lines(lost);
  EXPECT_TRUE(expect_rest(kTarget, 2, expected_).said("damaged"));

  run(kTarget, out(), kStop);
  auto moved = good;
  std::swap(moved[7], moved[8]);
  set_lines(moved);
  EXPECT_TRUE(expect_rest(kTarget, 6, expected_).said("damaged"));
}

// A kill in the middle of a line is no damage.
TEST_F(Distrust, NotOfHalfALineAtTheEnd) {
  auto half = lines();
  half.back().resize(half.back().size() / 2);
  set_lines(half);
  const Outcome rest = expect_rest(kTarget, kStop - 1, expected_);
  EXPECT_FALSE(rest.said("damaged"));
  EXPECT_TRUE(rest.said("goes on"));
}

TEST_F(Distrust, OfADamagedHeadOrRubbish) {
  const auto good = lines();
  for (const std::string& text : {std::string(), std::string("{}\n"), std::string(5000, '\0'),
                                  std::string("\n\n\n"), good[1] + good[0], "x" + good[0]})
    EXPECT_FALSE(quantize::parse_journal(text).ok()) << text;
  write_bytes(journal(kTarget), good[1] + good[0]);
  EXPECT_TRUE(expect_rest(kTarget, 0, expected_).said("cannot be used"));
}

TEST_F(Distrust, OfAnotherRequest) {
  fs::rename(staging(kTarget), staging(kTarget).string() + ".kept");
  fs::remove_all(folder_.path() / "whole");
  fs::create_directory(folder_.path() / "whole");
  const auto other = whole("fp8_channel");
  fs::rename(staging(kTarget).string() + ".kept", staging(kTarget));
  EXPECT_TRUE(expect_rest("fp8_channel", 0, other).said("asked for in other words"));
}

TEST_F(Distrust, OfAnotherSource) {
  const fs::path file = tiny_ / "model.safetensors";
  fs::last_write_time(file, fs::last_write_time(file) + std::chrono::seconds(1));
  EXPECT_TRUE(expect_rest(kTarget, 0, expected_).said("another source"));
}

TEST_F(Distrust, OfAnotherProgram) {
  std::string text = read_bytes(journal(kTarget));
  const auto parsed = quantize::parse_journal(text);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->entries.size(), kStop);
  auto identity = parsed->identity;
  identity.program = "0123456789abcdef";
  fs::remove(journal(kTarget));
  { ASSERT_TRUE(quantize::BuildJournal::open(staging(kTarget), identity, {}).ok()); }
  EXPECT_TRUE(expect_rest(kTarget, 0, expected_).said("another build of sluice"));
}

// Two runs at once would write over each other.
TEST_F(Distrust, OfAPlaceWhereAnotherRunIsAtWork) {
  const auto parsed = quantize::parse_journal(read_bytes(journal(kTarget)));
  ASSERT_TRUE(parsed.ok());
  {
    const auto other = quantize::BuildJournal::open(staging(kTarget), parsed->identity, {});
    ASSERT_TRUE(other.ok());
    const Outcome refused = run(kTarget, out());
    ASSERT_TRUE(refused.error.has_value());
    EXPECT_EQ(refused.error->code, ErrorCode::kUsage);
  }
  expect_rest(kTarget, kStop, expected_);
}

}  // namespace
}  // namespace sluice
