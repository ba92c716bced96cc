// The disk tier by itself, with made-up pages: what happens to files.
#include "runtime/cache/disk_tier.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <numeric>
#include <thread>

#include "base/log.h"
#include "ops/batch.h"
#include "runtime/cache/disk_files.h"

namespace sluice::runtime {
namespace {

namespace fs = std::filesystem;
using Piece = SegmentPiece;

constexpr uint64_t kAmple = 1 << 20;

std::byte content(const Piece& piece, size_t i) {
  return static_cast<std::byte>(17 * static_cast<size_t>(piece.kind) +
                                29 * static_cast<size_t>(piece.index) + i);
}

void copy_content(const Piece& piece, std::span<std::byte> to) {
  for (size_t i = 0; i < to.size(); ++i) to[i] = content(piece, i);
}

class DiskTierTest : public testing::Test {
 protected:
  DiskTierTest() {
    std::string name = (fs::temp_directory_path() / "sluice-disk-XXXXXX").string();
    folder_ = fs::path(::mkdtemp(name.data())) / "cache";
    form_.fingerprint = {1, 2};
    form_.most_pages = 50;
    form_.page_bytes = 256;
    form_.state_layers = 2;
    form_.layer_bytes = 64;
    form_.hidden_bytes = 32;
    tokens_.resize(20 * ops::kGrid);
    std::iota(tokens_.begin(), tokens_.end(), 5);
    set_log_sink([this](LogLevel level, std::string_view text) {
      if (level == LogLevel::kWarning) warnings_.emplace_back(text);
    });
  }
  ~DiskTierTest() override {
    set_log_sink(nullptr);
    fs::remove_all(folder_.parent_path());
  }

  Result<std::unique_ptr<DiskTier>> try_open(uint64_t bytes = kAmple) {
    return DiskTier::open({folder_, bytes, form_});
  }
  std::unique_ptr<DiskTier> open(uint64_t bytes = kAmple) {
    auto opened = try_open(bytes);
    if (!opened.ok()) throw std::runtime_error(opened.error().message());
    return std::move(*opened);
  }

  // Pages [begin, end) of the prompt, behind `parent`.
  SegmentHeader header(const DiskTier& tier, int64_t begin, int64_t end, size_t rest = 0,
                       uint64_t parent = 0) {
    SegmentHeader made;
    made.space = "mine";
    made.key = prompt_keys(tier.space_key("mine"), tokens_)[static_cast<size_t>(end)];
    made.id = rest > 0 ? hash_behind(made.key, {}) : made.key;
    made.parent = tier.id_of(parent);
    made.first_page = begin;
    made.pages = end - begin;
    made.read_pages = made.pages;
    made.answered = rest > 0;
    const Tokens part =
        Tokens(tokens_).subspan(static_cast<size_t>(begin * ops::kGrid),
                                static_cast<size_t>(made.pages * ops::kGrid) + rest);
    made.tokens.assign(part.begin(), part.end());
    return made;
  }
  uint64_t write(DiskTier& tier, const SegmentHeader& what) {
    tier.begin_writing(what, copy_content);
    while (tier.writing()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return tier.take_written().value_or(0);
  }
  Tokens prompt(size_t count) const { return Tokens(tokens_).first(count); }

  // All pieces of a file are what was written; false: there is nothing.
  bool reads(DiskTier& tier, uint64_t number, size_t count) {
    const auto file = tier.read(number, "mine", prompt(count), true);
    if (!file) return false;
    std::vector<std::byte> bytes(form_.largest_piece());
    for (size_t i = 0; i < file->pieces().size(); ++i) {
      const Piece& piece = file->pieces()[i];
      const auto part = std::span(bytes).first(piece.bytes);
      if (!file->read(i, part)) return false;
      for (size_t k = 0; k < part.size(); ++k) EXPECT_EQ(part[k], content(piece, k));
    }
    return true;
  }
  // The one file there is.
  std::pair<fs::path, std::string> written_file(int64_t pages, size_t rest) {
    const auto tier = open();
    EXPECT_GT(write(*tier, header(*tier, 0, pages, rest)), 0u);
    std::ifstream file(files().at(0), std::ios::binary);
    return {files().at(0), std::string(std::istreambuf_iterator<char>(file), {})};
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder_)) found.push_back(entry.path());
    return found;
  }

  fs::path folder_;
  SegmentForm form_;
  std::vector<TokenId> tokens_;
  std::vector<std::string> warnings_;
};

TEST_F(DiskTierTest, WhatWasWrittenIsFoundAndReadBackAlsoAfterARestart) {
  uint64_t first = 0, second = 0, answer = 0;
  {
    const auto tier = open();
    EXPECT_FALSE(tier->find("mine", tokens_, true).has_value());
    first = write(*tier, header(*tier, 0, 3));
    second = write(*tier, header(*tier, 3, 7, 0, first));
    answer = write(*tier, header(*tier, 3, 5, 20, first));
    EXPECT_TRUE(first > 0 && second > first && answer > second);
    EXPECT_EQ(tier->use().written, 3u);
  }
  for (int restart = 0; restart < 2; ++restart) {
    const auto tier = open();
    EXPECT_EQ(tier->use().files, 3);
    const auto hit = tier->find("mine", tokens_, true);
    ASSERT_TRUE(hit.has_value());
    EXPECT_EQ(hit->position, 7 * 64);
    const auto chain = tier->begin_reading(*hit);
    ASSERT_EQ(chain.size(), 2u);
    EXPECT_TRUE(reads(*tier, chain[0], tokens_.size()));
    EXPECT_TRUE(reads(*tier, chain[1], tokens_.size()));
    const auto behind_answer = tier->find("mine", prompt(5 * 64 + 21), true);
    ASSERT_TRUE(behind_answer.has_value());
    EXPECT_EQ(behind_answer->position, 5 * 64 + 20);
    EXPECT_TRUE(reads(*tier, behind_answer->file, tokens_.size()));
    EXPECT_EQ(tier->find("mine", prompt(5 * 64 + 21), false)->position, 3 * 64);
    EXPECT_FALSE(tier->find("another's", tokens_, true).has_value());
  }
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(DiskTierTest, PromptsAreForTheOwnersEyesOnly) {
  const mode_t before = ::umask(0);
  const auto tier = open();
  write(*tier, header(*tier, 0, 1));
  ::umask(before);
  EXPECT_EQ(fs::status(folder_).permissions(), fs::perms::owner_all);
  ASSERT_EQ(files().size(), 1u);
  EXPECT_EQ(fs::status(files()[0]).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

void put(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST_F(DiskTierTest, AFlippedByteAnywhereIsAMissAndReported) {
  const auto [path, whole] = written_file(1, 9);
  // Samples of every field, of tokens, checksums, space and each piece.
  std::vector<size_t> places;
  for (size_t i = 0; i < kSegmentFixedBytes; i += 4) places.push_back(i + i / 4 % 4);
  for (size_t i = kSegmentFixedBytes; i < whole.size(); i += 29) places.push_back(i);
  places.push_back(whole.size() - 1);
  for (const bool before_the_scan : {true, false}) {
    for (const size_t place : places) {
      std::string changed = whole;
      changed[place] = static_cast<char>(changed[place] ^ 0x20);
      warnings_.clear();
      put(path, before_the_scan ? changed : whole);
      const auto tier = open();
      put(path, changed);
      const auto hit = tier->find("mine", tokens_, true);
      EXPECT_FALSE(hit && reads(*tier, hit->file, tokens_.size())) << "byte " << place;
      EXPECT_EQ(tier->use().damaged, 1u) << "byte " << place;
      EXPECT_EQ(warnings_.size(), 1u) << "byte " << place;
      EXPECT_FALSE(tier->find("mine", tokens_, true).has_value());
      // Found at the scan it was removed then, and put back here.
      EXPECT_EQ(fs::exists(path), !hit.has_value()) << "byte " << place;
    }
  }
}

TEST_F(DiskTierTest, AFileCutAnywhereIsAMissAndReported) {
  const auto [path, whole] = written_file(1, 0);
  for (size_t length = 0; length <= whole.size() + 1; length += length % 5 == 0 ? 1 : 4) {
    const bool complete = length == whole.size();
    put(path, (whole + "x").substr(0, length));
    warnings_.clear();
    const auto tier = open();
    EXPECT_EQ(tier->find("mine", tokens_, true).has_value(), complete) << length;
    EXPECT_EQ(tier->use().damaged, complete ? 0u : 1u) << length;
    EXPECT_EQ(warnings_.size(), complete ? 0u : 1u) << length;
  }
  // Cut while the server runs.
  put(path, whole);
  const auto tier = open();
  const auto hit = tier->find("mine", tokens_, true);
  ASSERT_TRUE(hit.has_value());
  fs::resize_file(path, whole.size() - 1);
  EXPECT_FALSE(reads(*tier, hit->file, tokens_.size()));
  EXPECT_EQ(tier->use().damaged, 1u);
}

TEST_F(DiskTierTest, FilesOfOthersStayAndCount) {
  write(*open(), header(*open(), 0, 2));
  const SegmentForm mine = form_;
  form_.fingerprint = {1, 3};
  {
    const auto tier = open();
    EXPECT_FALSE(tier->find("mine", tokens_, true).has_value());
    EXPECT_EQ(tier->use().foreign, 1);
    EXPECT_GT(tier->use().bytes, 0u);
    EXPECT_EQ(tier->use().damaged, 0u);
    // As the oldest they go first.
    const uint64_t room = tier->use().bytes;
    EXPECT_GT(write(*tier, header(*tier, 0, 8)), 0u);
    const uint64_t all = tier->use().bytes;
    EXPECT_EQ(open(all)->use().files, 2);
    EXPECT_EQ(open(all - room)->use().foreign, 0);
  }
  form_ = mine;
  EXPECT_EQ(open()->use().foreign, 1);
}

TEST_F(DiskTierTest, AFileUnderAnothersNameIsDamage) {
  const auto tier = open();
  write(*tier, header(*tier, 0, 2));
  fs::copy_file(files()[0], folder_ / (SegmentHash{1, 1}.hex() + ".segment"));
  EXPECT_EQ(open()->use().damaged, 1u);
  EXPECT_EQ(files().size(), 1u);
}

TEST_F(DiskTierTest, TheBudgetIsKeptAndTheLongestUnusedGoes) {
  const uint64_t one = [&] {
    const auto tier = open();
    return segment_file_bytes(header(*tier, 0, 2), form_);
  }();
  const uint64_t budget = 16 * form_.page_bytes + form_.state_bytes() + 3 * one;
  const auto tier = open(budget);
  std::vector<uint64_t> numbers;
  for (int i = 0; i < 20; ++i) {
    tokens_[0] = i;
    numbers.push_back(write(*tier, header(*tier, 0, 2)));
    ASSERT_GT(numbers.back(), 0u);
    EXPECT_LE(tier->use().bytes, budget);
    // The first is of use again and again.
    tokens_[0] = 0;
    const auto hit = tier->find("mine", prompt(200), true);
    ASSERT_TRUE(hit.has_value()) << i;
    tier->begin_reading(*hit);
  }
  uint64_t there = 0;
  for (const fs::path& path : files()) there += fs::file_size(path);
  EXPECT_EQ(there, tier->use().bytes);
  EXPECT_GT(there + one, budget);
  EXPECT_TRUE(tier->id_of(numbers[5]).empty());
  // What a long prompt hangs on is not given up for its end.
  tokens_[0] = 0;
  const auto begin = tier->find("mine", prompt(200), true);
  ASSERT_TRUE(begin.has_value());
  EXPECT_EQ(write(*tier, header(*tier, 2, 16, 0, begin->file)), 0u);
  EXPECT_EQ(tier->use().dropped, 1u);
  EXPECT_TRUE(tier->find("mine", prompt(200), true).has_value());
  EXPECT_FALSE(try_open(form_.state_bytes()).ok());
}

// A limit on the length of files stands for a full disk: the write fails in the middle.
TEST_F(DiskTierTest, AFullDiskIsReportedOnceAndLeavesNothing) {
  const auto tier = open();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit tiny = before;
  tiny.rlim_cur = 700;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tiny), 0);
  const uint64_t first = write(*tier, header(*tier, 0, 3));
  const uint64_t second = write(*tier, header(*tier, 0, 4));
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(first, 0u);
  EXPECT_EQ(second, 0u);
  EXPECT_EQ(tier->use().failed, 2u);
  EXPECT_EQ(warnings_.size(), 1u);
  EXPECT_TRUE(files().empty());
  EXPECT_GT(write(*tier, header(*tier, 0, 4)), 0u);
}

TEST_F(DiskTierTest, WhatAKilledServerLeftIsSweptAndAWritersFileIsNot) {
  fs::create_directories(folder_);
  std::ofstream(folder_ / ".partial-0123") << "half";
  std::ofstream(folder_ / "notes.txt") << "not ours";
  const auto writers = folder_ / ".partial-4567";
  const FileDescriptor locked(::open(writers.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::flock(locked.value(), LOCK_EX), 0);
  open();
  EXPECT_FALSE(fs::exists(folder_ / ".partial-0123"));
  EXPECT_TRUE(fs::exists(writers));
  EXPECT_TRUE(fs::exists(folder_ / "notes.txt"));
}

TEST_F(DiskTierTest, RevokingEndsTheCopiesAndLeavesNothing) {
  const auto tier = open();
  std::atomic<int> copies{0};
  tier->begin_writing(header(*tier, 0, 19), [&](const Piece& piece, std::span<std::byte> to) {
    copy_content(piece, to);
    // From the third on they take so long that the call comes before the last.
    if (++copies >= 3) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  });
  while (copies < 3) std::this_thread::yield();
  tier->revoke();
  const int copied = copies;
  while (tier->writing()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(copies, copied);
  EXPECT_LT(copied, 22);
  EXPECT_FALSE(tier->take_written().has_value());
  EXPECT_EQ(tier->use().dropped, 1u);
  EXPECT_TRUE(files().empty());
  EXPECT_TRUE(warnings_.empty());
  EXPECT_GT(write(*tier, header(*tier, 0, 9)), 0u);
}

TEST_F(DiskTierTest, TwoServersOnOneFolderHarmNobody) {
  const auto one = open();
  const uint64_t first = write(*one, header(*one, 0, 8));
  const uint64_t second = write(*one, header(*one, 8, 12, 0, first));
  // Another one's budget holds one of the two; it gives up the end of the chain.
  EXPECT_EQ(open(one->use().bytes - 1)->use().files, 1);
  EXPECT_FALSE(reads(*one, second, tokens_.size()));
  EXPECT_TRUE(reads(*one, first, tokens_.size()));
  // Both write the same prompt: the later file stays, and it is the same.
  const auto other = open();
  EXPECT_GT(write(*one, header(*one, 0, 9)), 0u);
  const uint64_t theirs = write(*other, header(*other, 0, 9));
  EXPECT_TRUE(reads(*other, theirs, tokens_.size()));
  const auto hit = one->find("mine", tokens_, true);
  ASSERT_TRUE(hit.has_value());
  EXPECT_EQ(hit->position, 9 * 64);
  EXPECT_TRUE(reads(*one, hit->file, tokens_.size()));
  EXPECT_EQ(one->use().damaged, 0u);
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(DiskTierTest, AFolderThatCannotBeUsedIsSaidAtOnce) {
  fs::create_directories(folder_.parent_path());
  std::ofstream(folder_) << "a file";
  EXPECT_EQ(try_open().error().what, folder_.string());
  fs::remove(folder_);
  EXPECT_TRUE(DiskTier::prepare_folder(folder_ / "deeper" / "still" / "").ok());
  EXPECT_EQ(fs::status(folder_ / "deeper" / "still").permissions(), fs::perms::owner_all);
}

}  // namespace
}  // namespace sluice::runtime
