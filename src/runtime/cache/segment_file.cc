#include "runtime/cache/segment_file.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "ops/batch.h"

namespace sluice::runtime {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie");

constexpr std::array<char, 8> kMagic = {'s', 'l', 'u', 'i', 'c', 'e', 'k', 'v'};
constexpr uint32_t kVersion = 1;
constexpr uint32_t kAnswered = 1;  // the only flag

// As it lies in the file.
struct Fixed {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t space_bytes;
  SegmentHash fingerprint, id, key, parent;
  uint32_t first_page, pages, read_pages, rest;
  uint32_t pieces;
  uint32_t flags;
  uint64_t payload_bytes;
  uint64_t rest_checksum;  // of the header behind this part
  uint64_t checksum;       // of this part before this field
};
static_assert(sizeof(Fixed) == kSegmentFixedBytes && alignof(Fixed) == 8);
constexpr size_t kChecked = sizeof(Fixed) - sizeof(uint64_t);

uint64_t checksum(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

Error damaged(std::string why) { return bad_input("segment", std::move(why)); }
Error foreign(std::string why) { return {ErrorCode::kRefused, "segment", std::move(why), {}}; }

size_t token_count(const Fixed& fixed) { return size_t{fixed.pages} * ops::kGrid + fixed.rest; }

size_t header_bytes(const Fixed& fixed) {
  return sizeof(Fixed) + token_count(fixed) * sizeof(tokenizer::TokenId) +
         size_t{fixed.pieces} * sizeof(uint64_t) + fixed.space_bytes;
}

uint64_t piece_count(const Fixed& fixed, const SegmentForm& form) {
  return uint64_t{fixed.pages} + (fixed.rest > 0) + static_cast<uint64_t>(form.state_layers) +
         (form.hidden_bytes > 0);
}

uint64_t payload_bytes(const Fixed& fixed, const SegmentForm& form) {
  return (uint64_t{fixed.pages} + (fixed.rest > 0)) * form.page_bytes + form.state_bytes();
}

Status check_counts(const Fixed& fixed, const SegmentForm& form) {
  if (int64_t{fixed.first_page} + fixed.pages > form.most_pages)
    return damaged(fmt::format("{} pages behind {}", fixed.pages, fixed.first_page));
  if (fixed.rest >= ops::kGrid || fixed.first_page + fixed.pages + fixed.rest == 0)
    return damaged(fmt::format("{} pages and {} tokens", fixed.pages, fixed.rest));
  if (fixed.read_pages > fixed.pages)
    return damaged(fmt::format("{} read pages of {}", fixed.read_pages, fixed.pages));
  const bool answered = fixed.flags == kAnswered;
  if ((fixed.flags & ~kAnswered) != 0 ||
      (!answered && (fixed.rest > 0 || fixed.read_pages < fixed.pages)))
    return damaged(fmt::format("flags {:#x}", fixed.flags));
  if (fixed.parent.empty() != (fixed.first_page == 0))
    return damaged(fmt::format("{} pages before it, and its parent is {}", fixed.first_page,
                               fixed.parent.hex()));
  if (fixed.space_bytes > SegmentHeader::kMostSpaceBytes)
    return damaged(fmt::format("a space of {} bytes", fixed.space_bytes));
  if (fixed.pieces != piece_count(fixed, form))
    return damaged(fmt::format("{} pieces, expected {}", fixed.pieces, piece_count(fixed, form)));
  if (fixed.payload_bytes != payload_bytes(fixed, form)) {
    return damaged(fmt::format("{} bytes of payload, expected {}", fixed.payload_bytes,
                               payload_bytes(fixed, form)));
  }
  return {};
}

Result<Fixed> parse_fixed(std::span<const std::byte> bytes, uint64_t file_bytes,
                          const SegmentForm& form) {
  Fixed fixed;
  if (bytes.size() < sizeof fixed || file_bytes < sizeof fixed)
    return damaged(fmt::format("{} bytes", std::min<uint64_t>(bytes.size(), file_bytes)));
  std::memcpy(&fixed, bytes.data(), sizeof fixed);
  if (fixed.magic != kMagic) return damaged("not a file of the disk tier");
  if (fixed.checksum != checksum(bytes.first(kChecked)))
    return damaged("the checksum of its first part is wrong");
  if (fixed.version != kVersion)
    return foreign(fmt::format("of version {}, this is {}", fixed.version, kVersion));
  if (fixed.fingerprint != form.fingerprint) return foreign("of another model or build");
  SLUICE_TRY(check_counts(fixed, form));
  const uint64_t expected = header_bytes(fixed) + fixed.payload_bytes;
  if (file_bytes != expected)
    return damaged(fmt::format("{} bytes long, expected {}", file_bytes, expected));
  return fixed;
}

}  // namespace

std::string SegmentHash::hex() const { return fmt::format("{:016x}{:016x}", high, low); }

SegmentHash hash_behind(const SegmentHash& before, std::span<const std::byte> bytes) {
  std::vector<std::byte> joined(sizeof before + bytes.size());
  std::memcpy(joined.data(), &before, sizeof before);
  std::copy(bytes.begin(), bytes.end(), joined.begin() + sizeof before);
  const XXH128_hash_t hash = XXH3_128bits(joined.data(), joined.size());
  return {hash.low64, hash.high64};
}

uint64_t piece_checksum(std::span<const std::byte> bytes) { return checksum(bytes); }

size_t SegmentForm::state_bytes() const {
  return static_cast<size_t>(state_layers) * layer_bytes + hidden_bytes;
}

size_t SegmentForm::largest_piece() const {
  return std::max({page_bytes, layer_bytes, hidden_bytes});
}

int64_t SegmentHeader::rest() const {
  return static_cast<int64_t>(tokens.size()) - pages * ops::kGrid;
}

int64_t SegmentHeader::position() const {
  return first_page * ops::kGrid + static_cast<int64_t>(tokens.size());
}

std::vector<SegmentPiece> segment_pieces(const SegmentHeader& header, const SegmentForm& form) {
  using Kind = SegmentPiece::Kind;
  std::vector<SegmentPiece> pieces;
  for (int64_t i = 0; i < header.pages; ++i) pieces.push_back({Kind::kPage, i, form.page_bytes});
  if (header.rest() > 0) pieces.push_back({Kind::kRest, 0, form.page_bytes});
  for (int64_t i = 0; i < form.state_layers; ++i)
    pieces.push_back({Kind::kLayer, i, form.layer_bytes});
  if (form.hidden_bytes > 0) pieces.push_back({Kind::kHidden, 0, form.hidden_bytes});
  return pieces;
}

namespace {
Fixed fixed_part(const SegmentHeader& header, const SegmentForm& form) {
  SLUICE_CHECK(header.pages >= 0 && header.rest() >= 0 && header.rest() < ops::kGrid &&
                   header.space.size() <= SegmentHeader::kMostSpaceBytes,
               "{} tokens of {} pages, a space of {} bytes", header.tokens.size(), header.pages,
               header.space.size());
  Fixed fixed{};
  fixed.magic = kMagic;
  fixed.version = kVersion;
  fixed.space_bytes = static_cast<uint32_t>(header.space.size());
  fixed.fingerprint = form.fingerprint;
  fixed.id = header.id;
  fixed.key = header.key;
  fixed.parent = header.parent;
  fixed.first_page = static_cast<uint32_t>(header.first_page);
  fixed.pages = static_cast<uint32_t>(header.pages);
  fixed.read_pages = static_cast<uint32_t>(header.read_pages);
  fixed.rest = static_cast<uint32_t>(header.rest());
  fixed.pieces = static_cast<uint32_t>(piece_count(fixed, form));
  fixed.flags = header.answered ? kAnswered : 0;
  fixed.payload_bytes = payload_bytes(fixed, form);
  return fixed;
}
}  // namespace

uint64_t segment_file_bytes(const SegmentHeader& header, const SegmentForm& form) {
  const Fixed fixed = fixed_part(header, form);
  return header_bytes(fixed) + fixed.payload_bytes;
}

std::vector<std::byte> encode_segment_header(const SegmentHeader& header, const SegmentForm& form) {
  Fixed fixed = fixed_part(header, form);
  SLUICE_CHECK(header.checksums.size() == fixed.pieces, "{} checksums for {} pieces",
               header.checksums.size(), fixed.pieces);
  std::vector<std::byte> bytes(sizeof fixed);
  bytes.reserve(header_bytes(fixed));
  const auto append = [&](std::span<const std::byte> part) {
    bytes.insert(bytes.end(), part.begin(), part.end());
  };
  append(std::as_bytes(std::span(header.tokens)));
  append(std::as_bytes(std::span(header.checksums)));
  append(std::as_bytes(std::span(header.space)));
  fixed.rest_checksum = checksum(std::span(bytes).subspan(sizeof fixed));
  std::memcpy(bytes.data(), &fixed, sizeof fixed);
  fixed.checksum = checksum(std::span(bytes).first(kChecked));
  std::memcpy(bytes.data(), &fixed, sizeof fixed);
  return bytes;
}

Result<size_t> segment_header_bytes(std::span<const std::byte> fixed_bytes, uint64_t file_bytes,
                                    const SegmentForm& form) {
  SLUICE_ASSIGN(const Fixed fixed, parse_fixed(fixed_bytes, file_bytes, form));
  return header_bytes(fixed);
}

Result<SegmentHeader> parse_segment_header(std::span<const std::byte> bytes, uint64_t file_bytes,
                                           const SegmentForm& form) {
  SLUICE_ASSIGN(const Fixed fixed, parse_fixed(bytes, file_bytes, form));
  if (bytes.size() != header_bytes(fixed))
    return damaged(
        fmt::format("a header of {} bytes, expected {}", bytes.size(), header_bytes(fixed)));
  bytes = bytes.subspan(sizeof fixed);
  if (fixed.rest_checksum != checksum(bytes)) return damaged("the checksum of its header is wrong");
  SegmentHeader header;
  header.id = fixed.id;
  header.key = fixed.key;
  header.parent = fixed.parent;
  header.first_page = fixed.first_page;
  header.pages = fixed.pages;
  header.read_pages = fixed.read_pages;
  header.answered = fixed.flags == kAnswered;
  const auto take = [&](auto& values, size_t count) {
    using Value = typename std::remove_reference_t<decltype(values)>::value_type;
    values.resize(count);
    if (count == 0) return;
    std::memcpy(values.data(), bytes.data(), count * sizeof(Value));
    bytes = bytes.subspan(count * sizeof(Value));
  };
  take(header.tokens, token_count(fixed));
  take(header.checksums, fixed.pieces);
  take(header.space, fixed.space_bytes);
  return header;
}

}  // namespace sluice::runtime
