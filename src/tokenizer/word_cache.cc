#include "tokenizer/word_cache.h"

#include <cstring>

namespace sluice::tokenizer {

WordCache::Key WordCache::key_of(std::string_view piece) {
  Key key{{}, static_cast<uint32_t>(piece.size()), 0};
  std::memcpy(key.words.data(), piece.data(), piece.size());
  uint64_t hash = piece.size();
  for (const uint64_t word : key.words) {
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
  }
  key.line = static_cast<size_t>((hash * 0xD6E8FEB86659FD93u) >> 32) % kLines;
  return key;
}

bool WordCache::find(const Key& key, std::vector<TokenId>& out) const {
  const Line& line = lines_[key.line];
  const uint64_t header = line.header.load(std::memory_order_acquire);
  if ((header & kSequenceStep) != 0 || (header >> 8 & 0xFF) != key.length) return false;
  for (size_t i = 0; i < key.words.size(); ++i) {
    if (line.words[i].load(std::memory_order_acquire) != key.words[i]) return false;
  }
  std::array<TokenId, kMaxIds> ids;
  for (size_t i = 0; i < line.ids.size(); ++i) {
    const uint64_t two = line.ids[i].load(std::memory_order_acquire);
    ids[2 * i] = static_cast<TokenId>(two & 0xFFFFFFFF);
    ids[2 * i + 1] = static_cast<TokenId>(two >> 32);
  }
  // The loads above acquire, so this one comes after them: an unchanged header means that no writer
  // began.
  if (line.header.load(std::memory_order_relaxed) != header) return false;
  out.insert(out.end(), ids.begin(), ids.begin() + static_cast<ptrdiff_t>(header & 0xFF));
  return true;
}

void WordCache::store(const Key& key, std::span<const TokenId> ids) const {
  if (ids.size() > kMaxIds) return;
  Line& line = lines_[key.line];
  uint64_t header = line.header.load(std::memory_order_relaxed);
  if ((header & kSequenceStep) != 0 ||
      !line.header.compare_exchange_strong(header, header + kSequenceStep,
                                           std::memory_order_acquire)) {
    return;
  }
  // Stored with release: a reader that sees one of these also sees the odd sequence number.
  for (size_t i = 0; i < key.words.size(); ++i) {
    line.words[i].store(key.words[i], std::memory_order_release);
  }
  for (size_t i = 0; i < line.ids.size(); ++i) {
    const auto id = [&](size_t k) {
      return k < ids.size() ? static_cast<uint64_t>(static_cast<uint32_t>(ids[k])) : uint64_t{0};
    };
    line.ids[i].store(id(2 * i) | id(2 * i + 1) << 32, std::memory_order_release);
  }
  const uint64_t sequence = (header & ~(kSequenceStep - 1)) + 2 * kSequenceStep;
  line.header.store(sequence | uint64_t{key.length} << 8 | ids.size(), std::memory_order_release);
}

}  // namespace sluice::tokenizer
