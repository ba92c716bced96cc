// The turn memory on disk: what a server remembered is there after it, and nothing else is.
#include "chat/turn_files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/paths.h"
#include "support/warnings.h"

namespace sluice::chat {
namespace {

namespace fs = std::filesystem;
using Tokens = std::vector<tokenizer::TokenId>;

const TurnOwner kOwner{"a model", 1000};

Json message(const std::string& text) {
  Json json = Json::object();
  json.set("content", text);
  return json;
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  return files;
}

struct Kept {
  TurnFiles files;
  TurnMemory memory{1 << 20};

  explicit Kept(const fs::path& folder, const TurnOwner& owner = kOwner,
                uint64_t most_bytes = TurnFiles::kMostBytes)
      : files(folder.string(), owner, most_bytes) {
    files.restore(memory);
    memory.tell([this](const KeptTurn& turn) { files.append(turn); });
  }
};

TEST(TurnFiles, ANewServerKnowsTheTurnsOfTheOldOnes) {
  const test::TemporaryFolder folder;
  {
    Kept first(folder.path());
    first.memory.remember("key", 7, message("one"), {1, 2});
    first.memory.remember("key", 8, message("one"), {3});
    EXPECT_EQ(Kept(folder.path()).memory.find("key", 7, message("one")), (Tokens{1, 2}));
  }
  {
    Kept second(folder.path());
    second.memory.remember("", 9, message("two"), {});
    EXPECT_EQ(second.memory.find("key", 8, message("one")), Tokens{3});
  }
  Kept third(folder.path());
  EXPECT_EQ(third.memory.find("key", 7, message("one")), (Tokens{1, 2}));
  EXPECT_EQ(third.memory.find("", 9, message("two")), Tokens{});
  EXPECT_EQ(third.memory.find("", 7, message("one")), std::nullopt);
  EXPECT_EQ(files_in(folder.path()).size(), 2u);  // the third has said nothing
}

TEST(TurnFiles, AnotherModelsTurnsAreLeftAlone) {
  const test::TemporaryFolder folder;
  Kept(folder.path()).memory.remember("", 7, message("one"), {1});
  EXPECT_EQ(Kept(folder.path(), {"another", 1000}).memory.bytes(), 0u);
  EXPECT_EQ(Kept(folder.path()).memory.find("", 7, message("one")), Tokens{1});
}

TEST(TurnFiles, OnlyTheirOwnerMayReadThem) {
  const test::TemporaryFolder folder;
  Kept(folder.path()).memory.remember("", 7, message("one"), {1});
  const auto mode = fs::status(files_in(folder.path()).front()).permissions();
  EXPECT_EQ(mode, fs::perms::owner_read | fs::perms::owner_write);
}

// Every byte of a file in turn is another one, and every length: what stands before the damage is
// kept, nothing behind it, nothing is made up, and the next server finds a whole file.
TEST(TurnFiles, DamageCostsTheRestOfTheFile) {
  const std::vector<KeptTurn> turns = {
      {"k1", "thought", 7, {1, 2}}, {"k2", "", 8, {}}, {"k3", "t", 9, {999}}};
  std::string file = encode_turn_header(kOwner);
  std::vector<size_t> ends = {file.size()};
  for (const KeptTurn& turn : turns) {
    file += encode_turn(turn);
    ends.push_back(file.size());
  }
  const auto read = [](const std::string& bytes) {
    std::vector<KeptTurn> found;
    const auto whole =
        read_turns(bytes, kOwner, [&](KeptTurn turn) { found.push_back(std::move(turn)); });
    EXPECT_TRUE(whole.ok() || found.empty());
    return std::pair(whole.ok() ? *whole : 0, found);
  };
  EXPECT_EQ(read(file), std::pair(file.size(), turns));
  for (size_t i = 0; i < file.size(); ++i) {
    const auto before = static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), i) -
                                            ends.begin());  // 0: within the header
    const std::pair expected(
        before > 0 ? ends[before - 1] : 0,
        std::vector(turns.begin(), turns.begin() + (before > 0 ? before - 1 : 0)));
    std::string damaged = file;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x20);
    EXPECT_EQ(read(damaged), expected) << i;
    EXPECT_EQ(read(file.substr(0, i)), expected) << i;
  }
}

TEST(TurnFiles, TokensThatTheModelHasNotAreDamage) {
  for (const tokenizer::TokenId token : {-1, 1000}) {
    const std::string file = encode_turn_header(kOwner) + encode_turn({"k", "", 1, {token}});
    const auto whole = read_turns(file, kOwner, [](const KeptTurn&) { FAIL(); });
    ASSERT_TRUE(whole.ok());
    EXPECT_LT(*whole, file.size());
  }
}

TEST(TurnFiles, ADamagedFileIsCutAndReported) {
  const test::TemporaryFolder folder;
  {
    Kept kept(folder.path());
    kept.memory.remember("", 7, message("one"), {1});
    kept.memory.remember("", 7, message("two"), {2});
  }
  const fs::path file = files_in(folder.path()).front();
  fs::resize_file(file, fs::file_size(file) - 1);
  for (const bool damaged : {true, false}) {
    const test::Warnings warnings;
    Kept kept(folder.path());
    EXPECT_EQ(kept.memory.find("", 7, message("one")), Tokens{1});
    EXPECT_EQ(kept.memory.find("", 7, message("two")), std::nullopt);
    ASSERT_EQ(warnings.said().size(), damaged ? 1u : 0u);
    for (const std::string& warning : warnings.said())
      EXPECT_NE(warning.find("damaged from byte"), std::string::npos) << warning;
  }
}

TEST(TurnFiles, TheOldestGoWhenThereIsTooMuch) {
  const test::TemporaryFolder folder;
  constexpr uint64_t kMost = 420;  // two turns a file, at 79 bytes and 32 for the header
  const auto text = [](int i) { return message(std::to_string(10 + i)); };
  const auto known = [&](TurnMemory& memory, int count) {
    std::string which;
    for (int i = 0; i < count; ++i) which += memory.find("", 7, text(i)) ? '1' : '0';
    return which;
  };
  {
    Kept first(folder.path(), kOwner, kMost);
    for (int i = 0; i < 7; ++i) first.memory.remember("", 7, text(i), Tokens(10, i));
    EXPECT_EQ(files_in(folder.path()).size(), 2u);
    EXPECT_EQ(known(first.memory, 7), "1111111");
  }
  // A test is faster than the clock of a file system: the full one is the older.
  for (const fs::path& file : files_in(folder.path())) {
    const std::chrono::hours age(fs::file_size(file) > 150 ? 2 : 1);
    fs::last_write_time(file, fs::last_write_time(file) - age);
  }
  {
    Kept second(folder.path(), kOwner, kMost);
    EXPECT_EQ(known(second.memory, 7), "0000111");
    for (int i = 7; i < 10; ++i) second.memory.remember("", 7, text(i), Tokens(10, i));
  }
  Kept third(folder.path(), kOwner, kMost);
  EXPECT_EQ(known(third.memory, 10), "0000001111");
  EXPECT_EQ(files_in(folder.path()).size(), 3u);
}

TEST(TurnFiles, AFolderThatIsGoneIsSaidOnce) {
  const test::Warnings warnings;
  TurnMemory memory(1 << 20);
  TurnFiles files("/no such folder", kOwner);
  files.restore(memory);
  memory.tell([&](const KeptTurn& turn) { files.append(turn); });
  for (int i = 0; i < 3; ++i) memory.remember("", 7, message("one"), {i});
  EXPECT_EQ(memory.find("", 7, message("one")), Tokens{2});
  ASSERT_EQ(warnings.said().size(), 1u);
  EXPECT_EQ(warnings.said()[0].find("turns are not kept on disk"), 0u);
}

}  // namespace
}  // namespace sluice::chat
