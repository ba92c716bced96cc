#include "runtime/cache/checkpoint_places.h"

#include <gtest/gtest.h>

#include <random>

namespace sluice::runtime {
namespace {

using Places = std::vector<int64_t>;

TEST(CheckpointPlaces, LastBorderAndEnd) {
  const Places borders = {200, 500};
  EXPECT_EQ(checkpoint_places({.begin = 0, .length = 510, .borders = borders}, 2),
            (Places{192, 448}))
      << "border and end share a place";
  EXPECT_EQ(checkpoint_places({.begin = 0, .length = 515, .borders = borders}, 2),
            (Places{448, 512}));
  EXPECT_EQ(checkpoint_places({.begin = 0, .length = 515, .borders = borders}, 3),
            (Places{192, 448, 512}));
  EXPECT_EQ(checkpoint_places({.begin = 448, .length = 510, .borders = borders}, 3), Places{});
  EXPECT_EQ(checkpoint_places({.begin = 0, .length = 63, .borders = {}}, 3), Places{});
  EXPECT_EQ(checkpoint_places({.begin = 0, .length = 64, .borders = {}}, 3), Places{64});
}

TEST(CheckpointPlaces, TheBranchComesBeforeOlderBorders) {
  const Places borders = {100, 900};
  EXPECT_EQ(checkpoint_places({.begin = 0, .length = 905, .borders = borders, .branch = 320}, 2),
            (Places{320, 896}));
}

TEST(CheckpointPlaces, TheLadderDoublesAndPrefersBorders) {
  EXPECT_EQ(checkpoint_places({.begin = 0, .length = 10000, .borders = {}}, 100),
            (Places{1792, 5888, 7936, 8960, 9984}));
  const Places borders = {5000};
  EXPECT_EQ(checkpoint_places({.begin = 0, .length = 10000, .borders = borders}, 100),
            (Places{1792, 4992, 7936, 8960, 9984}));
}

TEST(CheckpointPlaces, OtherBordersOnlyWhereStepsStayLong) {
  const Places borders = {100, 700, 900, 1500};
  EXPECT_EQ(checkpoint_places({.begin = 0, .length = 1510, .borders = borders}, 100),
            (Places{64, 896, 1472}))
      << "700 is too near to 896";
}

TEST(CheckpointPlaces, AlwaysOnTheGridAheadAndFew) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    const int64_t length = 1 + random() % 20000, begin = static_cast<int64_t>(random()) % length;
    Places borders;
    for (int64_t at = random() % 700; at <= length; at += 1 + random() % 900) borders.push_back(at);
    const int64_t most = 1 + random() % 12;
    const Places places = checkpoint_places(
        {begin, length, borders, static_cast<int64_t>(random()) % (length + 64) / 64 * 64}, most);
    EXPECT_LE(static_cast<int64_t>(places.size()), most);
    int64_t before = begin;
    for (const int64_t place : places) {
      EXPECT_EQ(place % 64, 0);
      EXPECT_GT(place, before);
      EXPECT_LE(place, length);
      before = place;
    }
  }
}

}  // namespace
}  // namespace sluice::runtime
