// Writers that go on behind what an earlier run has left, over the borders of files, and the sizes
// that they promise beforehand.
#include "checkpoint/kept_tensors.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "checkpoint/forge.h"
#include "checkpoint/gguf_writer.h"
#include "checkpoint/safetensors_writer.h"
#include "support/paths.h"

namespace sluice::checkpoint {
namespace {

namespace fs = std::filesystem;

std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::directory_iterator(folder))
    out[entry.path().filename()] = get_file(entry.path());
  return out;
}

constexpr size_t kTensors = 9;
constexpr uint64_t kPart = 100;  // three files or more

// Sizes that are no multiples of an alignment, one of them larger than a part; not in the order of
// names, in which safetensors files hold them.
std::vector<TensorSpec> specs() {
  std::vector<TensorSpec> out;
  for (size_t i = 0; i < kTensors; ++i)
    out.push_back({fmt::format("t{}", i * 5 % kTensors),
                   DType::kI8,
                   {i == 4 ? 150 : 13 + static_cast<int>(i)}});
  return out;
}

std::string bytes_of(const TensorSpec& spec) {
  return std::string(static_cast<size_t>(spec.shape[0]),
                     static_cast<char>('a' + spec.name[1] - '0'));
}

bool is_intact(size_t, const TensorSpec& spec, std::span<const std::byte> bytes) {
  const std::string expected = bytes_of(spec);
  return std::ranges::equal(bytes, as_bytes(expected));
}

// Writes tensors from next() on; stops after `count` of them, `extra` bytes into the one after.
template <typename Writer>
void write(Writer& writer, const std::vector<TensorSpec>& order, size_t count, size_t extra) {
  const size_t end = std::min(order.size(), writer.next() + count);
  for (size_t i = writer.next(); i < end; ++i)
    ASSERT_TRUE(writer.append(order[i].name, as_bytes(bytes_of(order[i]))).ok());
  if (end < order.size() && extra > 0) {
    const std::string bytes = bytes_of(order[end]);
    ASSERT_TRUE(writer.append(order[end].name, as_bytes(bytes).first(extra)).ok());
  }
}

struct Gguf {
  static auto create(const fs::path& folder, IsIntact kept) {
    return GgufWriter::create(folder / "m.gguf", {}, specs(), {kPart, false, std::move(kept)});
  }
  static auto total() { return GgufWriter::total_bytes("m.gguf", {}, specs(), {kPart, false, {}}); }
  static std::vector<TensorSpec> order(const GgufWriter&) { return specs(); }
};

template <bool AsGiven>
struct Safetensors {
  static SafetensorsOptions options(IsIntact kept) {
    SafetensorsOptions out;
    out.shard_limit = kPart;
    out.as_given = AsGiven;
    out.kept = std::move(kept);
    return out;
  }
  static auto create(const fs::path& folder, IsIntact kept) {
    return SafetensorsWriter::create(folder, specs(), options(std::move(kept)));
  }
  static auto total() { return SafetensorsWriter::total_bytes(specs(), options({})); }
  static std::vector<TensorSpec> order(const SafetensorsWriter& writer) { return writer.plan(); }
};

template <typename Container>
std::map<std::string, std::string> whole_files() {
  const test::TemporaryFolder folder;
  auto writer = Container::create(folder.path(), {});
  EXPECT_TRUE(writer.ok());
  write(*writer, Container::order(*writer), kTensors, 0);
  EXPECT_TRUE(writer->finish().ok());
  return contents(folder.path());
}

template <typename Container>
class KeptTensors : public testing::Test {
 protected:
  static std::map<std::string, std::string> whole() { return whole_files<Container>(); }
};

using Containers = testing::Types<Gguf, Safetensors<false>, Safetensors<true>>;
TYPED_TEST_SUITE(KeptTensors, Containers);

TEST(KeptFiles, AreTheSameFilesInWhateverOrderTheyAreMade) {
  EXPECT_EQ(whole_files<Safetensors<true>>(), whole_files<Safetensors<false>>());
}

TYPED_TEST(KeptTensors, AreGoneOnBehindWhereverARunStopped) {
  const auto expected = this->whole();
  ASSERT_GE(expected.size(), 3u);
  for (size_t stop = 0; stop <= kTensors; ++stop) {
    const test::TemporaryFolder folder;
    const size_t extra = stop % 2 == 0 ? 5 : 0;
    {
      auto first = TypeParam::create(folder.path(), is_intact);
      ASSERT_TRUE(first.ok());
      EXPECT_EQ(first->next(), 0u);
      write(*first, TypeParam::order(*first), stop, extra);
    }
    auto second = TypeParam::create(folder.path(), is_intact);
    ASSERT_TRUE(second.ok());
    EXPECT_EQ(second->next(), stop);
    write(*second, TypeParam::order(*second), kTensors, 0);
    ASSERT_TRUE(second->finish().ok());
    EXPECT_EQ(contents(folder.path()), expected) << stop;
  }
}

// The tensors behind the first that is not believed are made again, whatever lies there.
TYPED_TEST(KeptTensors, EndWhereOneIsNotIntact) {
  const auto expected = this->whole();
  for (const size_t bad : {size_t{0}, size_t{2}, size_t{5}, size_t{8}}) {
    const test::TemporaryFolder folder;
    {
      auto first = TypeParam::create(folder.path(), is_intact);
      ASSERT_TRUE(first.ok());
      write(*first, TypeParam::order(*first), kTensors, 0);
    }
    auto second = TypeParam::create(folder.path(), [&](size_t number, const TensorSpec& spec,
                                                       std::span<const std::byte> bytes) {
      return number != bad && is_intact(number, spec, bytes);
    });
    ASSERT_TRUE(second.ok());
    EXPECT_EQ(second->next(), bad);
    write(*second, TypeParam::order(*second), kTensors, 0);
    ASSERT_TRUE(second->finish().ok());
    EXPECT_EQ(contents(folder.path()), expected) << bad;
  }
}

TYPED_TEST(KeptTensors, TotalsAreThoseOfTheFiles) {
  uint64_t sum = 0;
  for (const auto& [name, bytes] : this->whole()) sum += name.ends_with(".json") ? 0 : bytes.size();
  const auto total = TypeParam::total();
  ASSERT_TRUE(total.ok());
  EXPECT_EQ(*total, sum);
}

}  // namespace
}  // namespace sluice::checkpoint
