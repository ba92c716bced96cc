// Ids of pieces seen before: text repeats its words, and finding one here costs a tenth of merging
// it anew.
//
// Fixed size, shared by all threads without locks: each line carries a sequence number that is odd
// while it is being written, and a reader that sees it change takes the piece as unknown. A cache
// per thread would have no such rule, but its memory would grow with the threads, outside the
// memory plan.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace sluice::tokenizer {

class WordCache {
 public:
  static constexpr size_t kMaxPieceBytes = 24;
  static constexpr size_t kMaxIds = 8;

  WordCache() : lines_(std::make_unique<Line[]>(kLines)) {}

  // A piece of 1 to kMaxPieceBytes bytes with its place in the cache.
  struct Key {
    std::array<uint64_t, 3> words;  // the bytes, zeros behind
    uint32_t length;
    size_t line;
  };
  static Key key_of(std::string_view piece);

  // Appends the ids and returns true if the piece is known.
  bool find(const Key& key, std::vector<TokenId>& out) const;
  // Remembers a piece, in place of whatever shares its line. Does nothing for more than kMaxIds
  // ids, or while another thread writes the line.
  void store(const Key& key, std::span<const TokenId> ids) const;

  static constexpr size_t memory_bytes() {
    return kLines * sizeof(Line);
  }  // beyond the object itself

 private:
  static constexpr size_t kLines = size_t{1} << 15;

  // One cache line. header: sequence number (upper 32 bits), piece length, number of ids (8 bits
  // each).
  struct alignas(64) Line {
    std::atomic<uint64_t> header{0};
    std::array<std::atomic<uint64_t>, 3> words{};
    std::array<std::atomic<uint64_t>, kMaxIds / 2> ids{};
  };
  static constexpr uint64_t kSequenceStep = uint64_t{1} << 32;

  std::unique_ptr<Line[]> lines_;
};

}  // namespace sluice::tokenizer
