#include "runtime/cache/prefix_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "base/check.h"

namespace sluice::runtime {
namespace {

constexpr size_t kPage = ops::kGrid;

std::vector<TokenId> numbered(size_t count, TokenId first = 0) {
  std::vector<TokenId> tokens(count);
  for (size_t i = 0; i < count; ++i) tokens[i] = first + static_cast<TokenId>(i);
  return tokens;
}

// A path as a sequence would hold it.
struct Path {
  PrefixTree* tree;
  std::vector<int32_t> pages = {};

  void extend(const std::vector<TokenId>& tokens, bool answered = false) {
    for (size_t begin = pages.size() * kPage; begin + kPage <= tokens.size(); begin += kPage) {
      const auto page = tree->take_page();
      ASSERT_TRUE(page.has_value());
      pages.push_back(
          tree->add_page("", pages, Tokens(tokens).subspan(begin, kPage), *page, answered));
    }
  }
  int32_t save(Tokens tail = {}, Tokens following = {}) {
    const int32_t partial = tail.empty() ? -1 : *tree->take_page();
    return tree->add_checkpoint({"", pages, tail, partial, following});
  }
  void release() {
    tree->release(pages);
    pages.clear();
  }
};

TEST(PrefixTree, FindsTheLongestPathThatHasACheckpoint) {
  PagePool pool(20);
  PrefixTree tree(pool, 4, {});
  const auto tokens = numbered(5 * kPage);
  Path path{&tree};
  path.extend({tokens.begin(), tokens.begin() + 2 * kPage});
  const int32_t at_two = path.save();
  path.extend(tokens);
  const int32_t at_five = path.save();
  path.release();
  EXPECT_TRUE(tree.intact());

  auto longer = tokens;
  longer.push_back(7);
  auto match = tree.find("", longer, true);
  EXPECT_EQ(match.checkpoint, at_five);
  EXPECT_EQ(match.position, static_cast<int64_t>(5 * kPage));
  EXPECT_EQ(match.pages.size(), 5u);
  EXPECT_EQ(match.answered, 0);
  // One token must be left to read.
  match = tree.find("", tokens, true);
  EXPECT_EQ(match.checkpoint, at_two);
  EXPECT_EQ(match.known, static_cast<int64_t>(5 * kPage));
  // Parting inside the fourth page: the branch is where the third ends.
  longer[3 * kPage + 10] = -1;
  match = tree.find("", longer, true);
  EXPECT_EQ(match.checkpoint, at_two);
  EXPECT_EQ(match.shared_pages, 3);
  EXPECT_EQ(match.known, static_cast<int64_t>(3 * kPage + 10));
  EXPECT_EQ(tree.find("another", tokens, true).checkpoint, -1);
  EXPECT_EQ(tree.find("another", tokens, true).known, 0);
}

TEST(PrefixTree, PagesWithoutACheckpointGoBackWhenNobodyHoldsThem) {
  PagePool pool(10);
  PrefixTree tree(pool, 2, {});
  Path path{&tree};
  path.extend(numbered(3 * kPage));
  path.save();
  path.extend(numbered(5 * kPage));
  EXPECT_EQ(pool.free(), 5);
  path.release();
  EXPECT_EQ(pool.free(), 7) << "the two behind the checkpoint lead nowhere";
  EXPECT_EQ(tree.pages_held(), 3);
}

TEST(PrefixTree, ReadMaterialIsMergedAndAnsweredIsNot) {
  PagePool pool(10);
  PrefixTree tree(pool, 4, {});
  Path first{&tree}, second{&tree};
  first.extend(numbered(kPage));
  second.extend(numbered(kPage));
  EXPECT_EQ(first.pages, second.pages);
  EXPECT_EQ(tree.users(first.pages[0]), 2);
  first.extend(numbered(2 * kPage), true);
  second.extend(numbered(2 * kPage), true);
  EXPECT_NE(first.pages[1], second.pages[1]);
  // What is read behind an answer is its conversation's as well.
  first.extend(numbered(3 * kPage), false);
  EXPECT_TRUE(tree.answered(first.pages));
  first.save();
  auto tokens = numbered(3 * kPage + 1);
  EXPECT_EQ(tree.find("", tokens, false).checkpoint, -1);
  const auto match = tree.find("", tokens, true);
  EXPECT_EQ(match.position, static_cast<int64_t>(3 * kPage));
  EXPECT_EQ(match.answered, static_cast<int64_t>(2 * kPage));
  first.release();
  second.release();
  EXPECT_TRUE(tree.intact());
  EXPECT_EQ(tree.pages_held(), 3);
}

TEST(PrefixTree, ATailIsContinuedOnlyByTheSameTokens) {
  PagePool pool(10);
  PrefixTree tree(pool, 4, {});
  const auto tokens = numbered(kPage + 30);
  Path path{&tree};
  path.extend(tokens);
  path.save(Tokens(tokens).subspan(kPage, 20));
  path.release();
  auto match = tree.find("", tokens, true);
  EXPECT_EQ(match.position, static_cast<int64_t>(kPage + 20));
  EXPECT_GE(match.partial, 0);
  EXPECT_EQ(match.answered, 20);
  EXPECT_EQ(tree.find("", tokens, false).checkpoint, -1);
  EXPECT_EQ(tree.find("", Tokens(tokens).first(kPage + 20), true).checkpoint, -1);
  auto other = tokens;
  other[kPage + 19] = -1;
  EXPECT_EQ(tree.find("", other, true).checkpoint, -1);
}

TEST(PrefixTree, RemembersWhatStoodBehindACheckpoint) {
  PagePool pool(4);
  PrefixTree tree(pool, 2, {});
  const auto tokens = numbered(kPage + 40);
  Path path{&tree};
  path.extend(tokens);
  path.save({}, Tokens(tokens).subspan(kPage));
  path.release();
  auto longer = tokens;
  longer.resize(tokens.size() + 100, -5);
  EXPECT_EQ(tree.find("", longer, true).known, static_cast<int64_t>(kPage + 40));
  longer[kPage + 7] = -1;
  EXPECT_EQ(tree.find("", longer, true).known, static_cast<int64_t>(kPage + 7));
}

TEST(PrefixTree, LosesWhatIsCheapToReadAgainAndLongUnused) {
  PagePool pool(100);
  PrefixTree tree(pool, 3, {.page = 1, .state = 100});
  const auto keep = [&](size_t pages, TokenId first) {
    Path path{&tree};
    path.extend(numbered(pages * kPage, first));
    path.save();
    path.release();
  };
  const auto known = [&](size_t pages, TokenId first) {
    auto tokens = numbered(pages * kPage, first);
    tokens.push_back(0);
    return tree.find("", tokens, true).checkpoint >= 0;
  };
  keep(20, 1000000);  // dear
  keep(1, 2000000);
  keep(1, 3000000);
  tree.hold({});  // a request passes
  keep(1, 4000000);
  EXPECT_TRUE(known(20, 1000000));
  EXPECT_EQ(known(1, 2000000) + known(1, 3000000), 1) << "an old cheap one had to go";
  EXPECT_TRUE(known(1, 4000000));
  // Unused for long enough, the dear one goes as well.
  for (int i = 0; i < 60; ++i) tree.hold({});
  for (TokenId i = 0; i < 3; ++i) {
    keep(1, 5000000 + i * 1000);
    tree.hold({});
  }
  EXPECT_FALSE(known(20, 1000000));
  EXPECT_TRUE(tree.intact());
}

TEST(PrefixTree, GivesUpPagesForOthersButNeverThoseInUse) {
  PagePool pool(6);
  PrefixTree tree(pool, 4, {});
  Path kept{&tree}, used{&tree};
  kept.extend(numbered(2 * kPage));
  kept.save();
  kept.release();
  used.extend(numbered(3 * kPage, 5000));
  used.save();
  EXPECT_EQ(pool.free(), 1);
  std::vector<int32_t> taken;
  while (const auto page = tree.take_page()) taken.push_back(*page);
  EXPECT_EQ(taken.size(), 3u);
  EXPECT_EQ(tree.pages_held(), 3);
  EXPECT_TRUE(tree.intact());
  for (const int32_t page : taken) pool.give_back(page);
  used.release();
  EXPECT_EQ(pool.free(), 3) << "its checkpoint keeps the path";
  EXPECT_THROW(tree.release(std::vector<int32_t>{0, 1, 2, 3, 4, 5}), ContractViolation);
}

// Random conversations against a map from token prefixes to what was saved there. The map never
// forgets, so the tree may know less, never more, and what it knows must be right.
TEST(PrefixTree, RandomStepsAgainstAMap) {
  std::mt19937 random(3);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  PagePool pool(60);
  PrefixTree tree(pool, 9, {.page = 10, .state = 100});
  struct Saved {
    std::vector<TokenId> tokens;
    bool answered;
  };
  std::map<int32_t, Saved> saved;  // by checkpoint: what the tree said last
  std::vector<Path> running;
  std::vector<std::vector<TokenId>> texts;
  int64_t hits = 0;
  for (int round = 0; round < 6000; ++round) {
    if (running.size() < 3 && below(2) == 0) {
      // Few different pages, so that paths meet.
      std::vector<TokenId> tokens;
      const size_t pages = 1 + below(8);
      for (size_t i = 0; i < pages; ++i) {
        const auto piece = numbered(kPage, static_cast<TokenId>(below(2) * 1000));
        tokens.insert(tokens.end(), piece.begin(), piece.end());
      }
      tokens.resize(tokens.size() + 1 + below(kPage - 1), 9);
      const bool with_answers = below(2) == 0;
      const auto match = tree.find("", tokens, with_answers);
      Path path{&tree};
      if (match.checkpoint >= 0) {
        ++hits;
        const Saved& what = saved.at(match.checkpoint);
        ASSERT_EQ(static_cast<int64_t>(what.tokens.size()), match.position);
        ASSERT_TRUE(std::equal(what.tokens.begin(), what.tokens.end(), tokens.begin()));
        ASSERT_TRUE(with_answers || !what.answered);
        ASSERT_EQ(what.answered, match.answered > 0);
        ASSERT_GE(match.known, match.position);
      }
      tree.hold(match);
      path.pages = match.pages;
      running.push_back(path);
      texts.push_back(tokens);
    } else if (!running.empty()) {
      const size_t i = below(running.size());
      Path& path = running[i];
      const std::vector<TokenId>& tokens = texts[i];
      const size_t hung = path.pages.size() * kPage;
      if (hung + kPage <= tokens.size() && below(4) > 0) {
        const auto page = tree.take_page();
        if (page) {
          const bool answered = below(5) == 0;
          path.pages.push_back(
              tree.add_page("", path.pages, Tokens(tokens).subspan(hung, kPage), *page, answered));
        }
        if (page && below(2) == 0) {
          const int32_t at = path.save();
          if (at >= 0)
            saved[at] = {{tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(hung + kPage)},
                         tree.answered(path.pages)};
        }
      } else {
        const size_t tail = std::min(tokens.size() - hung, kPage) - 1;
        const auto partial = tail > 0 ? tree.take_page() : std::nullopt;
        if (partial) {
          const int32_t at = tree.add_checkpoint(
              {"", path.pages, Tokens(tokens).subspan(hung, tail), *partial, {}});
          saved[at] = {{tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(hung + tail)},
                       true};
        }
        path.release();
        running.erase(running.begin() + static_cast<ptrdiff_t>(i));
        texts.erase(texts.begin() + static_cast<ptrdiff_t>(i));
      }
    }
    ASSERT_TRUE(tree.intact()) << round;
    ASSERT_TRUE(pool.intact());
    ASSERT_EQ(pool.free() + tree.pages_held(), pool.capacity());
  }
  EXPECT_GT(hits, 200);
  for (Path& path : running) path.release();
  while (tree.checkpoints() > 0) {
    const auto page = tree.take_page();
    ASSERT_TRUE(page.has_value());
  }
  EXPECT_EQ(tree.pages_held(), 0);
}

}  // namespace
}  // namespace sluice::runtime
