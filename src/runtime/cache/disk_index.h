// What lies in the folder of the disk tier, as far as this process knows: which prompts the files
// begin, what they hang on, and which of them was of use last. Holds no bytes and touches no file.
//
// A file's pages begin where its parent's end, so it is of use only with all files before it. That
// holds for every entry here: with a file go those that hang on it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "runtime/cache/segment_file.h"

namespace sluice::runtime {

using tokenizer::TokenId;
using Tokens = std::span<const TokenId>;

struct DiskEntry {
  SegmentHash id, key, parent;
  int64_t first_page = 0, end_page = 0;  // of the prompt's whole pages
  std::vector<TokenId> rest;
  bool answered = false;
  bool foreign = false;  // another model's: it counts in the budget, and nobody finds it
  uint64_t bytes = 0;
  int64_t last_use = 0;  // nanoseconds, as files are dated

  static DiskEntry of(const SegmentHeader& header, uint64_t bytes, int64_t last_use);
  int64_t position() const;
};

// Keys of a prompt's whole pages: [i] is that of the first i of them.
std::vector<SegmentHash> prompt_keys(const SegmentHash& space_key, Tokens tokens);

class DiskIndex {
 public:
  // The entry's number, which is never used again; 0 if what it hangs on is not here. An entry of
  // the same id is replaced and keeps its number.
  uint64_t add(DiskEntry entry);

  const DiskEntry* at(uint64_t number) const;  // nullptr: gone
  std::optional<uint64_t> find_id(const SegmentHash& id) const;

  // The file whose state stands furthest in `tokens` and before their last, of those that `fit`;
  // among equals one that was read, then the latest. `keys` are prompt_keys() of these tokens.
  std::optional<uint64_t> find(std::span<const SegmentHash> keys, Tokens tokens, bool with_answers,
                               const std::function<bool(uint64_t)>& fit) const;
  // The files to read for this one, the first page's first.
  std::vector<uint64_t> chain(uint64_t number) const;
  // Marks a file and all that it hangs on as used now.
  void touch(uint64_t number, int64_t now);

  // Takes it out, and all that hang on it. Returns their ids.
  std::vector<SegmentHash> remove(uint64_t number);
  // The one that was of use longest ago; of a chain always the last. 0: there is none.
  uint64_t oldest() const;

  uint64_t bytes() const { return bytes_; }
  int64_t files() const { return static_cast<int64_t>(entries_.size()); }
  int64_t foreign_files() const { return foreign_; }

  // Host memory of one entry, no less.
  static constexpr size_t kEntryBytes = 512;

 private:
  std::map<uint64_t, DiskEntry> entries_;
  std::unordered_map<SegmentHash, uint64_t, SegmentHashOf> by_id_;
  std::unordered_multimap<SegmentHash, uint64_t, SegmentHashOf> by_key_;
  uint64_t last_number_ = 0, bytes_ = 0;
  int64_t foreign_ = 0;
};

}  // namespace sluice::runtime
