// A model file cut short while it is mapped ends the program with a word, not with a core dump.
#include "cli/mapping_guard.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "base/file.h"
#include "support/paths.h"

namespace sluice::cli {
namespace {

TEST(MappingGuardDeathTest, ATruncatedFileIsExplained) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "weights";
  std::ofstream(path) << std::string(1 << 16, 'w');
  const auto file = MappedFile::open(path);
  ASSERT_TRUE(file.ok());
  ASSERT_EQ(::truncate(path.c_str(), 0), 0);
  const volatile std::byte* last = file->bytes().data() + file->bytes().size() - 1;
  EXPECT_EXIT(
      {
        install_mapping_guard();
        [[maybe_unused]] const std::byte value = *last;
      },
      testing::ExitedWithCode(1), "model file: a mapped file became shorter");
}

}  // namespace
}  // namespace sluice::cli
