// The form of one file of the disk tier: a run of a prompt's pages and the recurrent state behind
// it. Bytes only; folder, budget and tree are others' business.
//
//   128 bytes   magic, version, whose it is, names, counts; a checksum of themselves. Magic,
//               version, and the place of that checksum are the same in all versions.
//   then        tokens, a checksum for each piece, the cache space; one checksum over them
//   payload     pieces: whole pages in order, the page with the rest of the tokens if there is a
//               rest, the state layer by layer, the hidden vector if there is a draft head
//
// Numbers are little-endian. Sizes of pieces follow from the model and are not written down, so
// there are none to be believed; the file's length must be what the counts make it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tokenizer/tokenizer.h"

namespace sluice::runtime {

// 128 bits of XXH3. It names and it finds damage; it is no proof against forgery, so tokens and
// space are compared themselves before anything is used.
struct SegmentHash {
  uint64_t low = 0, high = 0;
  bool operator==(const SegmentHash&) const = default;
  bool empty() const { return low == 0 && high == 0; }
  std::string hex() const;  // 32 digits
};
struct SegmentHashOf {
  size_t operator()(const SegmentHash& hash) const { return static_cast<size_t>(hash.low); }
};

// `before`: what the bytes hang on.
SegmentHash hash_behind(const SegmentHash& before, std::span<const std::byte> bytes);

// What files of one model look like, and who may use them.
struct SegmentForm {
  SegmentHash fingerprint;  // of the model, the numerics and the build
  int64_t most_pages = 0;   // of the longest prompt of the model
  size_t page_bytes = 0;
  int64_t state_layers = 0;
  size_t layer_bytes = 0;   // of one layer's state
  size_t hidden_bytes = 0;  // 0: no draft head

  size_t state_bytes() const;  // all layers and the hidden vector
  size_t largest_piece() const;
};

struct SegmentHeader {
  // Longer ones are kept in memory only.
  static constexpr size_t kMostSpaceBytes = 4096;

  SegmentHash id;          // the file's name
  SegmentHash key;         // of space and tokens of all whole pages from the prompt's beginning
  SegmentHash parent;      // id of the file with the pages before; empty exactly if there are none
  int64_t first_page = 0;  // pages before
  int64_t pages = 0;       // whole pages in here
  int64_t read_pages = 0;  // the first so many were read as prompt, the others hang on an answer
  bool answered = false;   // the state hangs on an answer; so it does behind such a page or a rest
  std::vector<tokenizer::TokenId> tokens;  // of the pages, then the rest, less than a page
  std::string space;
  std::vector<uint64_t> checksums;  // one a piece

  int64_t rest() const;      // tokens behind the last whole page
  int64_t position() const;  // tokens before the state
};

struct SegmentPiece {
  enum class Kind : uint8_t { kPage, kRest, kLayer, kHidden };
  Kind kind = Kind::kPage;
  int64_t index = 0;  // of the page in this file, of the layer
  size_t bytes = 0;
};
// In their order in the file.
std::vector<SegmentPiece> segment_pieces(const SegmentHeader& header, const SegmentForm& form);
uint64_t piece_checksum(std::span<const std::byte> bytes);

uint64_t segment_file_bytes(const SegmentHeader& header, const SegmentForm& form);
// All before the payload.
std::vector<std::byte> encode_segment_header(const SegmentHeader& header, const SegmentForm& form);

// Bytes of the part that tells how long the header is.
inline constexpr size_t kSegmentFixedBytes = 128;
// The header's length, from its fixed part. Errors: kRefused for a file of another version or
// model, kBadInput for a damaged one. Nothing larger than the file is ever returned.
Result<size_t> segment_header_bytes(std::span<const std::byte> fixed, uint64_t file_bytes,
                                    const SegmentForm& form);
// The same for the whole header: `bytes` is as long as segment_header_bytes() said.
Result<SegmentHeader> parse_segment_header(std::span<const std::byte> bytes, uint64_t file_bytes,
                                           const SegmentForm& form);

}  // namespace sluice::runtime
