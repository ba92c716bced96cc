#include "runtime/cache/disk_index.h"

#include <algorithm>
#include <tuple>

#include "ops/batch.h"

namespace sluice::runtime {

DiskEntry DiskEntry::of(const SegmentHeader& header, uint64_t bytes, int64_t last_use) {
  const Tokens rest = Tokens(header.tokens).last(static_cast<size_t>(header.rest()));
  return {.id = header.id,
          .key = header.key,
          .parent = header.parent,
          .first_page = header.first_page,
          .end_page = header.first_page + header.pages,
          .rest = {rest.begin(), rest.end()},
          .answered = header.answered,
          .foreign = false,
          .bytes = bytes,
          .last_use = last_use};
}

int64_t DiskEntry::position() const {
  return end_page * ops::kGrid + static_cast<int64_t>(rest.size());
}

std::vector<SegmentHash> prompt_keys(const SegmentHash& space_key, Tokens tokens) {
  std::vector<SegmentHash> keys = {space_key};
  for (; tokens.size() >= ops::kGrid; tokens = tokens.subspan(ops::kGrid))
    keys.push_back(hash_behind(keys.back(), std::as_bytes(tokens.first(ops::kGrid))));
  return keys;
}

uint64_t DiskIndex::add(DiskEntry entry) {
  if (!entry.foreign && entry.first_page > 0) {
    const auto parent = find_id(entry.parent);
    if (!parent || at(*parent)->end_page != entry.first_page) return 0;
  }
  const auto same = by_id_.find(entry.id);
  const uint64_t number = same != by_id_.end() ? same->second : ++last_number_;
  if (same != by_id_.end()) {
    // The same file written again: what hangs on it stays.
    DiskEntry& old = entries_.at(number);
    bytes_ += entry.bytes - old.bytes;
    old.bytes = entry.bytes;
    old.last_use = entry.last_use;
    return number;
  }
  bytes_ += entry.bytes;
  foreign_ += entry.foreign ? 1 : 0;
  by_id_.emplace(entry.id, number);
  if (!entry.foreign) by_key_.emplace(entry.key, number);
  const int64_t last_use = entry.last_use;
  entries_.emplace(number, std::move(entry));
  // Files are dated when they are read, and of a chain not all need be.
  for (const uint64_t file : chain(number)) {
    int64_t& use = entries_.at(file).last_use;
    use = std::max(use, last_use);
  }
  return number;
}

const DiskEntry* DiskIndex::at(uint64_t number) const {
  const auto found = entries_.find(number);
  return found == entries_.end() ? nullptr : &found->second;
}

std::optional<uint64_t> DiskIndex::find_id(const SegmentHash& id) const {
  const auto found = by_id_.find(id);
  if (found == by_id_.end() || entries_.at(found->second).foreign) return std::nullopt;
  return found->second;
}

std::optional<uint64_t> DiskIndex::find(std::span<const SegmentHash> keys, Tokens tokens,
                                        bool with_answers,
                                        const std::function<bool(uint64_t)>& fit) const {
  for (size_t page = keys.size(); page-- > 0;) {
    const Tokens behind = tokens.subspan(page * ops::kGrid);
    std::optional<uint64_t> best;
    std::tuple<size_t, bool, uint64_t> rank;
    const auto [first, last] = by_key_.equal_range(keys[page]);
    for (auto i = first; i != last; ++i) {
      const DiskEntry& entry = entries_.at(i->second);
      if (entry.answered && !with_answers) continue;
      // At least one token is left to read: its row gives the answer's first token.
      if (entry.end_page != static_cast<int64_t>(page) || entry.rest.size() >= behind.size())
        continue;
      if (!std::equal(entry.rest.begin(), entry.rest.end(), behind.begin())) continue;
      const std::tuple candidate(entry.rest.size(), !entry.answered, i->second);
      if ((best && candidate <= rank) || !fit(i->second)) continue;
      best = i->second;
      rank = candidate;
    }
    if (best) return best;
  }
  return std::nullopt;
}

std::vector<uint64_t> DiskIndex::chain(uint64_t number) const {
  std::vector<uint64_t> files;
  for (const DiskEntry* entry = at(number); entry != nullptr; entry = at(number)) {
    files.push_back(number);
    if (entry->first_page == 0) break;
    number = by_id_.at(entry->parent);
  }
  std::reverse(files.begin(), files.end());
  return files;
}

void DiskIndex::touch(uint64_t number, int64_t now) {
  for (const uint64_t file : chain(number)) entries_.at(file).last_use = now;
}

std::vector<SegmentHash> DiskIndex::remove(uint64_t number) {
  std::vector<uint64_t> open;
  if (at(number) != nullptr) open.push_back(number);
  std::vector<SegmentHash> ids;
  while (!open.empty()) {
    const auto gone = entries_.find(open.back());
    open.pop_back();
    const DiskEntry entry = std::move(gone->second);
    const auto [first, last] = by_key_.equal_range(entry.key);
    for (auto i = first; i != last; ++i) {
      if (i->second != gone->first) continue;
      by_key_.erase(i);
      break;
    }
    by_id_.erase(entry.id);
    entries_.erase(gone);
    bytes_ -= entry.bytes;
    foreign_ -= entry.foreign ? 1 : 0;
    ids.push_back(entry.id);
    for (const auto& [other, child] : entries_) {
      if (!child.foreign && child.first_page > 0 && child.parent == entry.id) open.push_back(other);
    }
  }
  return ids;
}

uint64_t DiskIndex::oldest() const {
  // Whoever uses a file uses what it hangs on: of those of the same moment the last goes first, and
  // that has the greatest number.
  uint64_t oldest = 0;
  int64_t when = 0;
  for (const auto& [number, entry] : entries_) {
    if (oldest != 0 && entry.last_use > when) continue;
    oldest = number;
    when = entry.last_use;
  }
  return oldest;
}

}  // namespace sluice::runtime
