#include "runtime/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>

namespace sluice::runtime {
namespace {

// What is shown of `text` when it arrives in the given pieces.
std::string shown(const std::vector<std::string>& stops, const std::string& text,
                  const std::vector<size_t>& cuts) {
  StopMatcher matcher(stops);
  std::string out;
  size_t begin = 0;
  for (const size_t cut : cuts) {
    out += matcher.push(text.substr(begin, cut - begin));
    begin = cut;
  }
  out += matcher.push(text.substr(begin));
  return out + matcher.finish();
}

TEST(StopMatcher, EveryCutGivesTheSameText) {
  const std::string text = "aab aaab END after";
  for (size_t i = 0; i <= text.size(); ++i) {
    for (size_t j = i; j <= text.size(); ++j) {
      EXPECT_EQ(shown({"END"}, text, {i, j}), "aab aaab ");
      EXPECT_EQ(shown({"aaab", "END"}, text, {i, j}), "aab ");
      EXPECT_EQ(shown({"ENDING"}, text, {i, j}), text);
    }
  }
}

TEST(StopMatcher, HoldsBackOnlyWhatCouldMatch) {
  StopMatcher matcher({"###"});
  EXPECT_EQ(matcher.push("abc#"), "abc");
  EXPECT_EQ(matcher.push("d"), "#d");
  EXPECT_EQ(matcher.push("##"), "");
  EXPECT_EQ(matcher.finish(), "##");
}

TEST(StopMatcher, NamesTheEarliestAndLongest) {
  StopMatcher matcher({"b", "bc", "c"});
  EXPECT_EQ(matcher.push("abc"), "a");
  EXPECT_EQ(matcher.matched(), "bc");
  EXPECT_EQ(matcher.push("x"), "");
}

TEST(StopMatcher, EmptyStopsAreIgnored) { EXPECT_EQ(shown({""}, "abc", {1}), "abc"); }

}  // namespace
}  // namespace sluice::runtime
