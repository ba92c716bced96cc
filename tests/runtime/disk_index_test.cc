// What the disk tier knows of its files.
#include "runtime/cache/disk_index.h"

#include <gtest/gtest.h>

#include <numeric>

#include "ops/batch.h"

namespace sluice::runtime {
namespace {

const SegmentHash kSpace{11, 12};

std::vector<TokenId> numbered(size_t count) {
  std::vector<TokenId> tokens(count);
  std::iota(tokens.begin(), tokens.end(), 5);
  return tokens;
}

bool any(uint64_t) { return true; }

// Files of one prompt, `begin` and `end` in pages.
struct Maker {
  std::vector<TokenId> tokens = numbered(20 * ops::kGrid);
  std::vector<SegmentHash> keys = prompt_keys(kSpace, tokens);
  uint64_t names = 0;

  DiskEntry entry(int64_t begin, int64_t end, size_t rest = 0, SegmentHash parent = {}) {
    DiskEntry made;
    made.id = {++names, 77};
    made.key = keys[static_cast<size_t>(end)];
    made.parent = parent;
    made.first_page = begin;
    made.end_page = end;
    made.answered = rest > 0;
    const Tokens behind = Tokens(tokens).subspan(static_cast<size_t>(end * ops::kGrid), rest);
    made.rest.assign(behind.begin(), behind.end());
    made.bytes = 100;
    made.last_use = static_cast<int64_t>(names);
    return made;
  }
  std::optional<uint64_t> find(const DiskIndex& index, size_t count, bool with_answers = true) {
    const Tokens asked = Tokens(tokens).first(count);
    return index.find(prompt_keys(kSpace, asked), asked, with_answers, any);
  }
};

TEST(DiskIndex, FindsWhatStandsFurthestInThePrompt) {
  Maker of;
  DiskIndex index;
  const DiskEntry two = of.entry(0, 2);
  const uint64_t at_two = index.add(two);
  const uint64_t at_five = index.add(of.entry(2, 5, 0, two.id));
  const uint64_t answer = index.add(of.entry(2, 4, 9, two.id));
  EXPECT_EQ(of.find(index, 128), std::nullopt) << "one token has to be read";
  EXPECT_EQ(of.find(index, 129), at_two);
  EXPECT_EQ(of.find(index, 4 * 64 + 9), at_two);
  EXPECT_EQ(of.find(index, 4 * 64 + 10), answer);
  EXPECT_EQ(of.find(index, 4 * 64 + 10, false), at_two);
  EXPECT_EQ(of.find(index, 5 * 64 + 1), at_five);
  auto other = of.tokens;
  other[4 * 64 + 3] = -1;  // inside the answer's rest
  EXPECT_EQ(index.find(prompt_keys(kSpace, other), other, true, any), at_two);
  EXPECT_EQ(index.find(prompt_keys({1, 1}, of.tokens), of.tokens, true, any), std::nullopt);
  EXPECT_EQ(index.find(of.keys, of.tokens, true, [&](uint64_t n) { return n != at_five; }), answer);
  EXPECT_EQ(index.chain(at_five), (std::vector<uint64_t>{at_two, at_five}));
}

TEST(DiskIndex, AmongEqualsWhatWasReadThenTheLatest) {
  Maker of;
  DiskIndex index;
  DiskEntry answer = of.entry(0, 3);
  answer.answered = true;
  const uint64_t first = index.add(answer);
  answer.id = {500, 1};
  const uint64_t second = index.add(answer);
  EXPECT_GT(second, first);
  EXPECT_EQ(of.find(index, 200), second);
  const uint64_t read = index.add(of.entry(0, 3));
  answer.id = {501, 1};
  index.add(answer);
  EXPECT_EQ(of.find(index, 200), read);
}

TEST(DiskIndex, WithAFileGoThoseThatHangOnIt) {
  Maker of;
  DiskIndex index;
  const DiskEntry two = of.entry(0, 2), five = of.entry(2, 5, 0, two.id);
  const DiskEntry nine = of.entry(5, 9, 0, five.id), beside = of.entry(0, 6);
  EXPECT_EQ(index.add(five), 0u) << "what it hangs on is not there";
  const uint64_t at_two = index.add(two);
  DiskEntry gap = five;
  gap.first_page = 3;
  EXPECT_EQ(index.add(gap), 0u);
  const uint64_t at_five = index.add(five);
  index.add(nine);
  const uint64_t at_six = index.add(beside);
  EXPECT_EQ(index.bytes(), 400u);
  EXPECT_EQ(index.remove(at_two).size(), 3u);
  EXPECT_EQ(index.files(), 1);
  EXPECT_EQ(index.bytes(), 100u);
  EXPECT_EQ(index.at(at_five), nullptr);
  EXPECT_EQ(of.find(index, 10 * 64), at_six);
  EXPECT_TRUE(index.remove(at_two).empty());
  EXPECT_NE(index.add(two), at_two) << "numbers are used once";
}

TEST(DiskIndex, TheOldestIsTheEndOfAChain) {
  Maker of;
  DiskIndex index;
  const DiskEntry two = of.entry(0, 2), five = of.entry(2, 5, 0, two.id);
  const uint64_t at_two = index.add(two), at_five = index.add(five);
  const uint64_t beside = index.add(of.entry(0, 6));
  DiskEntry foreign;
  foreign.id = {9000, 1};
  foreign.foreign = true;
  foreign.bytes = 50;
  foreign.last_use = 4;
  const uint64_t theirs = index.add(foreign);
  EXPECT_EQ(index.foreign_files(), 1);
  EXPECT_EQ(index.find_id(foreign.id), std::nullopt);
  EXPECT_EQ(index.bytes(), 350u);
  index.touch(at_five, 10);
  EXPECT_EQ(index.oldest(), beside);
  index.remove(beside);
  EXPECT_EQ(index.oldest(), theirs);
  index.remove(theirs);
  EXPECT_EQ(index.foreign_files(), 0);
  EXPECT_EQ(index.oldest(), at_five);
  index.remove(at_five);
  EXPECT_EQ(index.oldest(), at_two);
  index.remove(at_two);
  EXPECT_EQ(index.oldest(), 0u);
  EXPECT_EQ(index.bytes(), 0u);
}

// After a restart the dates are those of files, and only the last of a chain may have been read.
TEST(DiskIndex, WhatAFileHangsOnIsAsYoungAsTheFile) {
  Maker of;
  DiskIndex index;
  DiskEntry two = of.entry(0, 2), beside = of.entry(0, 6), five = of.entry(2, 5, 0, two.id);
  two.last_use = 1;
  beside.last_use = 2;
  five.last_use = 3;
  index.add(two);
  const uint64_t at_beside = index.add(beside), at_five = index.add(five);
  EXPECT_EQ(index.oldest(), at_beside);
  index.remove(at_beside);
  EXPECT_EQ(index.oldest(), at_five);
}

}  // namespace
}  // namespace sluice::runtime
