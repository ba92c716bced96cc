// The form of the disk tier's files: what was written comes back, and nothing else is believed.
#include "runtime/cache/segment_file.h"

#include <gtest/gtest.h>

#include <cstring>

#include "ops/batch.h"

namespace sluice::runtime {
namespace {

SegmentForm small_form() {
  SegmentForm form;
  form.fingerprint = {1, 2};
  form.most_pages = 50;
  form.page_bytes = 512;
  form.state_layers = 3;
  form.layer_bytes = 40;
  form.hidden_bytes = 16;
  return form;
}

SegmentHeader header_of(int64_t first_page, int64_t pages, int64_t rest, const SegmentForm& form) {
  SegmentHeader header;
  header.id = {3, 4};
  header.key = {5, 6};
  if (first_page > 0) header.parent = {7, 8};
  header.first_page = first_page;
  header.pages = pages;
  header.read_pages = rest > 0 ? pages / 2 : pages;
  header.answered = rest > 0;
  header.space = "somebody's";
  for (int64_t i = 0; i < pages * ops::kGrid + rest; ++i)
    header.tokens.push_back(static_cast<int32_t>(1000 + i));
  for (const SegmentPiece& piece : segment_pieces(header, form))
    header.checksums.push_back(piece.bytes + static_cast<uint64_t>(piece.index));
  return header;
}

// As the disk tier does it.
Result<SegmentHeader> parse(std::span<const std::byte> bytes, uint64_t file_bytes,
                            const SegmentForm& form) {
  const auto fixed = bytes.first(std::min(bytes.size(), kSegmentFixedBytes));
  SLUICE_ASSIGN(const size_t length, segment_header_bytes(fixed, file_bytes, form));
  EXPECT_LE(length, file_bytes);
  if (length > bytes.size()) return bad_input("segment", "short");
  return parse_segment_header(bytes.first(length), file_bytes, form);
}

TEST(SegmentFile, AHeaderComesBack) {
  const SegmentForm form = small_form();
  for (const auto& [first, pages, rest] :
       {std::tuple(0, 1, 0), {0, 4, 0}, {3, 2, 17}, {0, 0, 5}, {2, 0, 63}, {2, 0, 0}}) {
    const SegmentHeader header = header_of(first, pages, rest, form);
    EXPECT_EQ(header.position(), first * ops::kGrid + pages * ops::kGrid + rest);
    const auto bytes = encode_segment_header(header, form);
    uint64_t payload = 0;
    for (const SegmentPiece& piece : segment_pieces(header, form)) payload += piece.bytes;
    EXPECT_EQ(segment_file_bytes(header, form), bytes.size() + payload);
    const auto back = parse(bytes, bytes.size() + payload, form);
    ASSERT_TRUE(back.ok()) << back.error().message();
    EXPECT_EQ(back->id, header.id);
    EXPECT_EQ(back->key, header.key);
    EXPECT_EQ(back->parent, header.parent);
    EXPECT_EQ(back->first_page, header.first_page);
    EXPECT_EQ(back->pages, header.pages);
    EXPECT_EQ(back->read_pages, header.read_pages);
    EXPECT_EQ(back->answered, header.answered);
    EXPECT_EQ(back->tokens, header.tokens);
    EXPECT_EQ(back->space, header.space);
    EXPECT_EQ(back->checksums, header.checksums);
  }
}

TEST(SegmentFile, AnyChangedByteIsSeen) {
  const SegmentForm form = small_form();
  const SegmentHeader header = header_of(3, 1, 9, form);
  const auto good = encode_segment_header(header, form);
  const uint64_t file_bytes = segment_file_bytes(header, form);
  for (size_t i = 0; i < good.size(); ++i) {
    for (const std::byte change : {std::byte{1}, std::byte{0x80}}) {
      auto bytes = good;
      bytes[i] ^= change;
      const auto back = parse(bytes, file_bytes, form);
      ASSERT_FALSE(back.ok()) << "byte " << i;
      EXPECT_EQ(back.error().code, ErrorCode::kBadInput) << "byte " << i;
    }
  }
}

TEST(SegmentFile, AnyOtherLengthIsSeen) {
  const SegmentForm form = small_form();
  const SegmentHeader header = header_of(3, 1, 9, form);
  const auto good = encode_segment_header(header, form);
  const uint64_t file_bytes = segment_file_bytes(header, form);
  for (uint64_t length = 0; length <= file_bytes + 3; ++length) {
    const auto there = std::span(good).first(std::min<size_t>(good.size(), length));
    EXPECT_EQ(parse(there, length, form).ok(), length == file_bytes) << length;
  }
}

// What another model, another version, and a forger with a right checksum would write.
TEST(SegmentFile, OthersFilesAreToldFromDamage) {
  const SegmentForm form = small_form();
  const SegmentHeader header = header_of(3, 2, 9, form);
  const uint64_t file_bytes = segment_file_bytes(header, form);
  SegmentForm other = form;
  other.fingerprint = {1, 3};
  const auto good = encode_segment_header(header, form);
  EXPECT_EQ(parse(good, file_bytes, other).error().code, ErrorCode::kRefused);

  const auto forged = [&](size_t offset, uint32_t value) {
    auto bytes = good;
    std::memcpy(bytes.data() + offset, &value, sizeof value);
    const uint64_t sum = piece_checksum(std::span(bytes).first(kSegmentFixedBytes - 8));
    std::memcpy(bytes.data() + kSegmentFixedBytes - 8, &sum, sizeof sum);
    return parse(bytes, file_bytes, form);
  };
  EXPECT_TRUE(forged(84, 2).ok());  // as it was
  EXPECT_EQ(forged(8, 2).error().code, ErrorCode::kRefused);
  struct Forgery {
    size_t offset;
    uint32_t value;
    const char* why;
  };
  for (const Forgery& forgery : {Forgery{12, 0xffffffff, "a space of 4294967295 bytes"},
                                 {80, 0xffffffff, "2 pages behind 4294967295"},
                                 {80, 0, "0 pages before it"},
                                 {84, 0xffffffff, "4294967295 pages behind 3"},
                                 {84, 3, "7 pieces, expected 8"},
                                 {88, 3, "3 read pages of 2"},
                                 {92, 64, "2 pages and 64 tokens"},
                                 {92, 8, "bytes long, expected"},
                                 {96, 0xffffffff, "4294967295 pieces"},
                                 {100, 0, "flags 0x0"},
                                 {100, 3, "flags 0x3"},
                                 {104, 0, "0 bytes of payload"}}) {
    const auto back = forged(forgery.offset, forgery.value);
    ASSERT_FALSE(back.ok()) << forgery.why;
    EXPECT_EQ(back.error().code, ErrorCode::kBadInput) << forgery.why;
    EXPECT_NE(back.error().why.find(forgery.why), std::string::npos) << back.error().why;
  }
}

TEST(SegmentFile, KeysDependOnAllBefore) {
  const std::string text = "abc", other = "abd";
  const auto of = [](const std::string& s) { return std::as_bytes(std::span(s)); };
  const SegmentHash root{1, 2};
  EXPECT_EQ(hash_behind(root, of(text)), hash_behind(root, of(text)));
  EXPECT_FALSE(hash_behind(root, of(text)) == hash_behind(root, of(other)));
  EXPECT_FALSE(hash_behind(root, of(text)) == hash_behind({1, 3}, of(text)));
  EXPECT_FALSE(hash_behind(root, of(text)) == hash_behind({2, 2}, of(text)));
  EXPECT_EQ((SegmentHash{0xab, 1}.hex()), "000000000000000100000000000000ab");
}

}  // namespace
}  // namespace sluice::runtime
