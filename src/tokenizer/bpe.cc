#include "tokenizer/bpe.h"

#include <algorithm>

namespace sluice::tokenizer {
namespace {

constexpr uint32_t kNoMerge = MergeTable::kNoMerge;

void encode_plainly(const MergeTable& merges, const std::array<TokenId, 256>& byte_ids,
                    std::string_view piece, std::vector<TokenId>& out) {
  std::array<TokenId, kPlainMergeLimit> ids;
  std::array<uint32_t, kPlainMergeLimit>
      ranks;  // of the pair that begins here; the last stays kNoMerge
  size_t count = piece.size();
  for (size_t i = 0; i < count; ++i) ids[i] = byte_ids[static_cast<uint8_t>(piece[i])];
  for (size_t i = 0; i + 1 < count; ++i) ranks[i] = merges.rank(ids[i], ids[i + 1]);
  ranks[count - 1] = kNoMerge;
  while (true) {
    size_t best = 0;
    for (size_t i = 1; i < count; ++i) {
      if (ranks[i] < ranks[best]) best = i;
    }
    if (ranks[best] == kNoMerge) break;
    ids[best] = merges.merged(ranks[best]);
    --count;
    for (size_t i = best + 1; i < count; ++i) {
      ids[i] = ids[i + 1];
      ranks[i] = ranks[i + 1];
    }
    ranks[best] = best + 1 < count ? merges.rank(ids[best], ids[best + 1]) : kNoMerge;
    if (best > 0) ranks[best - 1] = merges.rank(ids[best - 1], ids[best]);
  }
  out.insert(out.end(), ids.begin(), ids.begin() + static_cast<ptrdiff_t>(count));
}

// A linked list of symbols and a heap of candidate pairs. A candidate whose pair has changed since
// it was pushed stays in the heap and is dropped when it comes up: its rank no longer agrees with
// the symbol's.
class QueueMerger {
 public:
  QueueMerger(const MergeTable& merges, MergeWork& work) : merges_(merges), work_(work) {}

  void run(const std::array<TokenId, 256>& byte_ids, std::string_view piece,
           std::vector<TokenId>& out) {
    const auto count = static_cast<uint32_t>(piece.size());
    symbols_.resize(count);
    for (uint32_t i = 0; i < count; ++i) {
      symbols_[i] = {byte_ids[static_cast<uint8_t>(piece[i])], i - 1, i + 1, kNoMerge};
    }
    symbols_.front().previous = kEnd;
    symbols_.back().next = kEnd;
    for (uint32_t i = 0; i + 1 < count; ++i) {
      symbols_[i].rank = merges_.rank(symbols_[i].id, symbols_[i + 1].id);
      if (symbols_[i].rank != kNoMerge) heap_.push_back(candidate(i));
    }
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
    work_.queue_operations += heap_.size();
    while (!heap_.empty()) {
      const uint64_t top = pop();
      const auto position = static_cast<uint32_t>(top);
      if (symbols_[position].rank == static_cast<uint32_t>(top >> 32)) merge(position);
    }
    for (uint32_t i = 0; i != kEnd; i = symbols_[i].next) out.push_back(symbols_[i].id);
  }

 private:
  static constexpr uint32_t kEnd = 0xFFFFFFFF;
  struct Symbol {
    TokenId id;
    uint32_t previous, next;
    uint32_t rank;  // of the pair with the next symbol; kNoMerge also for symbols merged away
  };

  // Orders by rank, then from left to right.
  uint64_t candidate(uint32_t position) const {
    return static_cast<uint64_t>(symbols_[position].rank) << 32 | position;
  }
  uint64_t pop() {
    ++work_.queue_operations;
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const uint64_t top = heap_.back();
    heap_.pop_back();
    return top;
  }
  void update(uint32_t position) {
    Symbol& symbol = symbols_[position];
    symbol.rank =
        symbol.next == kEnd ? kNoMerge : merges_.rank(symbol.id, symbols_[symbol.next].id);
    if (symbol.rank == kNoMerge) return;
    ++work_.queue_operations;
    heap_.push_back(candidate(position));
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }
  void merge(uint32_t position) {
    Symbol& left = symbols_[position];
    Symbol& right = symbols_[left.next];
    left.id = merges_.merged(left.rank);
    left.next = right.next;
    right.rank = kNoMerge;
    if (left.next != kEnd) symbols_[left.next].previous = position;
    update(position);
    if (left.previous != kEnd) update(left.previous);
  }

  const MergeTable& merges_;
  MergeWork& work_;
  std::vector<Symbol> symbols_;
  std::vector<uint64_t> heap_;
};

}  // namespace

void encode_piece(const MergeTable& merges, const std::array<TokenId, 256>& byte_ids,
                  std::string_view piece, std::vector<TokenId>& out, MergeWork* work) {
  if (piece.empty()) return;
  if (piece.size() <= kPlainMergeLimit) return encode_plainly(merges, byte_ids, piece, out);
  MergeWork unobserved;
  QueueMerger(merges, work != nullptr ? *work : unobserved).run(byte_ids, piece, out);
}

}  // namespace sluice::tokenizer
