// What many threads make and one writes: the order, the first error, and that nobody waits for
// ever.
#include "tools/convert/write_behind.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

#include "base/threads.h"
#include "tools/convert/row_stream.h"

namespace sluice {
namespace {

using convert::WriteBehind;

class WriteBehindTest : public testing::Test {
 protected:
  convert::Sink sink() {
    return [this](std::span<const std::byte> bytes) {
      written_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      return Status();
    };
  }
  void put(WriteBehind& behind, uint64_t place, const std::string& text) {
    std::memcpy(behind.begin(place, text.size()).data(), text.data(), text.size());
    behind.end(place, sink());
  }
  static std::string text_of(uint64_t place) {
    return std::to_string(place) + std::string(place % 7, '.') + ",";
  }

  std::string written_;
};

TEST_F(WriteBehindTest, TheOrderIsThatOfThePlacesWhoeverFillsThem) {
  constexpr uint64_t kPlaces = 500;
  std::string expected;
  ThreadPool pool(4);
  WriteBehind behind(3);
  for (int round = 0; round < 2; ++round) {
    const uint64_t first = behind.reserve(kPlaces);
    std::atomic<uint64_t> next = 0;
    pool.run([&](int, int) {
      for (uint64_t i = next++; i < kPlaces; i = next++) put(behind, first + i, text_of(i));
    });
    for (uint64_t i = 0; i < kPlaces; ++i) expected += text_of(i);
    ASSERT_TRUE(
        behind.add([&] { return written_ == expected ? Status() : failed("early", ""); }).ok());
  }
  EXPECT_TRUE(behind.drain().ok());
  EXPECT_EQ(written_, expected);
}

TEST_F(WriteBehindTest, TheFirstErrorByPlaceEndsIt) {
  WriteBehind behind(8);
  const uint64_t first = behind.reserve(6);
  behind.fail(first + 3, failed("fourth", "was made later but stands before"));
  behind.fail(first + 5, failed("sixth", "was made first"));
  for (const uint64_t i : {4, 2, 1, 0}) put(behind, first + i, text_of(i));
  const Status status = behind.drain();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().what, "fourth");
  EXPECT_EQ(written_, text_of(0) + text_of(1) + text_of(2));
  EXPECT_FALSE(behind.add([] { return Status(); }).ok());
}

// More places than buffers behind an error: all of them pass.
TEST_F(WriteBehindTest, NobodyWaitsBehindAnError) {
  WriteBehind behind(2);
  ASSERT_TRUE(behind.add([]() -> Status { return failed("disk", "full"); }).ok());
  const uint64_t first = behind.reserve(20);
  for (uint64_t i = 0; i < 20; ++i) put(behind, first + i, text_of(i));
  EXPECT_EQ(behind.drain().error().what, "disk");
  EXPECT_EQ(written_, "");
}

TEST_F(WriteBehindTest, WhatStandsBeforeAGapIsWrittenAtTheEnd) {
  {
    WriteBehind behind(8);
    const uint64_t first = behind.reserve(4);
    for (const uint64_t i : {3, 1, 0}) put(behind, first + i, text_of(i));
  }
  EXPECT_EQ(written_, text_of(0) + text_of(1));
}

TEST_F(WriteBehindTest, AnExceptionReachesTheCaller) {
  WriteBehind behind(2);
  ASSERT_TRUE(behind.add([]() -> Status { throw std::runtime_error("no memory"); }).ok());
  EXPECT_THROW((void)behind.drain(), std::runtime_error);
}

// ---------------------------------------------- rows

// Rows of their own numbers, some of which hold a NaN.
class Rows final : public convert::RowSource {
 public:
  explicit Rows(std::vector<int64_t> bad) : bad_(std::move(bad)) {}
  int64_t rows() const override { return 3000; }
  int64_t columns() const override { return 1024; }
  const std::string& name() const override { return name_; }
  void read(int64_t first, int64_t count, float* out) const override {
    for (int64_t row = first; row < first + count; ++row) {
      const bool bad = std::find(bad_.begin(), bad_.end(), row) != bad_.end();
      for (int64_t i = 0; i < columns(); ++i) *out++ = static_cast<float>(row);
      if (bad) out[-7] = std::numeric_limits<float>::quiet_NaN();
    }
  }

 private:
  std::string name_ = "rows";
  std::vector<int64_t> bad_;
};

TEST_F(WriteBehindTest, RowsArriveInOrderFromAnyNumberOfThreads) {
  const Rows rows({});
  std::string expected;
  for (int64_t row = 0; row < rows.rows(); ++row) {
    for (int64_t i = 0; i < rows.columns(); ++i) {
      const auto value = static_cast<float>(row);
      expected.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
  }
  for (const int threads : {1, 3}) {
    written_.clear();
    ThreadPool pool(threads);
    WriteBehind behind(convert::buffers_for(pool));
    convert::ErrorSum error;
    ASSERT_TRUE(convert::write_rows(rows, DType::kF32, {}, pool, {&behind, sink()}, error).ok());
    ASSERT_TRUE(behind.drain().ok());
    EXPECT_TRUE(written_ == expected) << threads;
    EXPECT_EQ(error.squared_error, 0);
    EXPECT_GT(error.squared_norm, 0);
  }
}

TEST_F(WriteBehindTest, TheFirstBadRowIsNamedWhateverTheNumberOfThreads) {
  const Rows rows({2999, 700, 701});
  for (const int threads : {1, 4}) {
    ThreadPool pool(threads);
    WriteBehind behind(2);
    convert::ErrorSum error;
    const Status status =
        convert::write_rows(rows, DType::kBF16, {}, pool, {&behind, sink()}, error);
    ASSERT_FALSE(status.ok());
    // Of the piece of 256 rows that it is in.
    EXPECT_NE(status.error().why.find("[188, 1017] is nan"), std::string::npos)
        << status.error().why;
  }
}

}  // namespace
}  // namespace sluice
