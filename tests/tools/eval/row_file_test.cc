// Rows that wait in a file without a name.
#include "tools/eval/row_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "support/paths.h"

namespace sluice {
namespace {

using tools::RowFile;

TEST(RowFile, GivesBackTheBitsAndLeavesNothing) {
  const test::TemporaryFolder folder;
  auto file = RowFile::create(folder.path(), 3, 4);
  ASSERT_TRUE(file.ok()) << file.error().message();
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  const std::vector<float> one = {1.5f, -0.0f, std::numeric_limits<float>::denorm_min(), -7e30f};
  const std::vector<float> two = {0.25f, 0.5f, -INFINITY, 1, 2, 3, 4, 5};
  ASSERT_TRUE(file->append(one).ok());
  ASSERT_TRUE(file->append(two).ok());
  EXPECT_EQ(file->rows(), 3u);
  std::vector<float> back(4);
  ASSERT_TRUE(file->read(0, back).ok());
  EXPECT_EQ(back, one);
  EXPECT_TRUE(std::signbit(back[1]));
  back.resize(8);
  ASSERT_TRUE(file->read(1, back).ok());
  EXPECT_EQ(back, two);
}

TEST(RowFile, RefusesWhatHasNoRoomAndFoldersThatAreNone) {
  const test::TemporaryFolder folder;
  const auto large = RowFile::create(folder.path(), uint64_t{1} << 40, 1 << 18);
  ASSERT_FALSE(large.ok());
  EXPECT_EQ(large.error().code, ErrorCode::kDoesNotFit);
  EXPECT_FALSE(RowFile::create(folder.path() / "none", 1, 1).ok());
}

}  // namespace
}  // namespace sluice
