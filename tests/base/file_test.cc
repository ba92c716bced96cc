#include "base/file.h"

#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "support/paths.h"

namespace sluice {
namespace {

TEST(File, WrittenWholeAndNotReplacedUnasked) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "a";
  const std::string text = "hello";
  ASSERT_TRUE(write_file(path, std::as_bytes(std::span(text)), false).ok());
  EXPECT_EQ(*read_file(path, 100), "hello");
  EXPECT_EQ(write_file(path, {}, false).error().code, ErrorCode::kUsage);
  EXPECT_TRUE(write_file(path, {}, true).ok());
  EXPECT_EQ(*read_file(path, 100), "");
}

TEST(File, ADeviceOrPipeIsNoPlaceForAFile) {
  const test::TemporaryFolder folder;
  const auto pipe = folder.path() / "pipe", link = folder.path() / "link";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::filesystem::create_symlink(pipe, link);
  for (const auto& path : {pipe, link, folder.path()}) {
    const Status status = write_file(path, {}, true);
    ASSERT_FALSE(status.ok()) << path;
    EXPECT_EQ(status.error().code, ErrorCode::kUsage);
  }
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
}

TEST(File, AbandonedWriterLeavesNothing) {
  const test::TemporaryFolder folder;
  {
    Result<FileWriter> writer = FileWriter::create(folder.path() / "b", false);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE(writer->append("x").ok());
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

// Pieces in any order, larger together than what is sent to the disk at once.
TEST(File, PiecesGoToTheirPlaces) {
  constexpr size_t kPiece = 3'000'001, kPieces = 7;
  const test::TemporaryFolder folder;
  std::string expected(kPiece * kPieces, '\0');
  for (size_t i = 0; i < expected.size(); ++i) expected[i] = static_cast<char>(i * i >> 7);
  Result<FileWriter> writer = FileWriter::create(folder.path() / "d", false);
  ASSERT_TRUE(writer.ok());
  const auto bytes = std::as_bytes(std::span(expected));
  ASSERT_TRUE(writer->append(bytes.first(kPiece)).ok());
  for (const size_t piece : {3, 4, 5, 1, 2}) {
    ASSERT_TRUE(writer->write_at(piece * kPiece, bytes.subspan(piece * kPiece, kPiece)).ok());
    EXPECT_EQ(writer->bytes_written(), kPiece * (piece >= 3 ? piece + 1 : 6));
  }
  ASSERT_TRUE(writer->append(bytes.last(kPiece)).ok());
  ASSERT_TRUE(writer->commit().ok());
  EXPECT_TRUE(*read_file(folder.path() / "d", expected.size()) == expected);
}

TEST(File, LimitsAndMissing) {
  const test::TemporaryFolder folder;
  const std::string text(1000, 'x');
  ASSERT_TRUE(write_file(folder.path() / "c", std::as_bytes(std::span(text)), false).ok());
  EXPECT_FALSE(read_file(folder.path() / "c", 999).ok());
  EXPECT_FALSE(read_file(folder.path() / "none", 999).ok());
  EXPECT_FALSE(MappedFile::open(folder.path()).ok());
  Result<MappedFile> mapped = MappedFile::open(folder.path() / "c");
  ASSERT_TRUE(mapped.ok());
  EXPECT_EQ(mapped->bytes().size(), 1000u);
  MappedFile moved = std::move(*mapped);
  EXPECT_EQ(moved.bytes().size(), 1000u);
}

// Pages of the mapping that the page cache holds.
size_t cached_pages(std::span<const std::byte> bytes, size_t page) {
  std::vector<unsigned char> pages((bytes.size() + page - 1) / page);
  EXPECT_EQ(::mincore(const_cast<std::byte*>(bytes.data()), bytes.size(), pages.data()), 0);
  return static_cast<size_t>(
      std::count_if(pages.begin(), pages.end(), [](unsigned char state) { return state & 1; }));
}

TEST(File, ForgottenPagesLeaveTheCacheAndReadTheSame) {
  const test::TemporaryFolder folder;
  struct statfs system {};
  ASSERT_EQ(::statfs(folder.path().c_str(), &system), 0);
  if (system.f_type == TMPFS_MAGIC) GTEST_SKIP() << "a file system in memory forgets nothing";
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<std::byte> bytes(size_t{16} << 20);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i / page * 7 + i % 5);
  ASSERT_TRUE(write_file(folder.path() / "d", bytes, false).ok());
  Result<MappedFile> file = MappedFile::open(folder.path() / "d");
  ASSERT_TRUE(file.ok());
  const MappedFile moved = std::move(*file);
  ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), moved.bytes().begin()));  // all cached now
  const size_t all = bytes.size() / page;
  EXPECT_EQ(cached_pages(moved.bytes(), page), all);
  moved.drop(moved.bytes());  // of the process only
  EXPECT_EQ(cached_pages(moved.bytes(), page), all);
  moved.forget(moved.bytes().subspan(0, bytes.size() / 2));
  const size_t left = cached_pages(moved.bytes(), page);
  EXPECT_LT(left, all * 3 / 4);
  EXPECT_GE(left, all / 2);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), moved.bytes().begin()));
}

}  // namespace
}  // namespace sluice
