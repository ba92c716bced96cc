#include "tools/distill/bpe/trainer.h"

#include <algorithm>
#include <array>
#include <queue>
#include <set>

#include "base/check.h"
#include "tokenizer/byte_alphabet.h"

namespace sluice::tools::bpe {
namespace {

using Pair = std::pair<int32_t, int32_t>;

// Bytes in the order of their characters, and back.
struct ByteOrder {
  std::array<uint8_t, 256> byte{};
  std::array<int32_t, 256> id{};

  ByteOrder() {
    for (size_t i = 0; i < 256; ++i) byte[i] = static_cast<uint8_t>(i);
    std::sort(byte.begin(), byte.end(), [](uint8_t a, uint8_t b) {
      return tokenizer::alphabet_character(a) < tokenizer::alphabet_character(b);
    });
    for (size_t i = 0; i < 256; ++i) id[byte[i]] = static_cast<int32_t>(i);
  }
};

struct Word {
  std::vector<int32_t> ids;
  int64_t count;
};

// Words with the pairs that occur in them. A pair's words are found again by a set, so that a merge
// visits only these; its count is kept up to date with each change of a word.
class Pairs {
 public:
  explicit Pairs(std::vector<Word> words) : words_(std::move(words)) {
    for (size_t i = 0; i < words_.size(); ++i) count(i, 1);
    for (const auto& [pair, entry] : entries_) offer(pair, entry.count);
  }

  // The pair to merge next; nothing if none occurs `min_frequency` times.
  bool best(int64_t min_frequency, Pair& pair) {
    while (!queue_.empty()) {
      const auto [frequency, minus_left, minus_right] = queue_.top();
      pair = {-minus_left, -minus_right};
      if (const auto entry = entries_.find(pair);
          entry != entries_.end() && entry->second.count == frequency)
        return frequency >= min_frequency;
      queue_.pop();  // the count has changed since: a newer offer is in the queue
    }
    return false;
  }

  void merge(const Pair& pair, int32_t id) {
    const std::set<size_t> words = entries_.at(pair).words;
    changed_.clear();
    for (const size_t i : words) {
      count(i, -1);
      replace(words_[i].ids, pair, id);
      count(i, 1);
    }
    for (const Pair& touched : changed_) {
      const auto entry = entries_.find(touched);
      if (entry == entries_.end()) continue;
      if (entry->second.count == 0) {
        entries_.erase(entry);
      } else {
        offer(touched, entry->second.count);
      }
    }
  }

 private:
  struct Entry {
    int64_t count = 0;
    std::set<size_t> words;
  };
  // Greatest first: frequency, then the smaller left id, then the smaller right id.
  using Offer = std::tuple<int64_t, int32_t, int32_t>;

  void offer(const Pair& pair, int64_t frequency) {
    queue_.emplace(frequency, -pair.first, -pair.second);
  }

  // Adds or takes away a word's pairs.
  void count(size_t index, int sign) {
    const Word& word = words_[index];
    for (size_t i = 0; i + 1 < word.ids.size(); ++i) {
      const Pair pair{word.ids[i], word.ids[i + 1]};
      Entry& entry = entries_[pair];
      entry.count += sign * word.count;
      if (sign > 0) {
        entry.words.insert(index);
      } else {
        entry.words.erase(index);
      }
      changed_.insert(pair);
    }
  }

  static void replace(std::vector<int32_t>& ids, const Pair& pair, int32_t id) {
    size_t out = 0;
    for (size_t i = 0; i < ids.size(); ++out) {
      const bool match = i + 1 < ids.size() && ids[i] == pair.first && ids[i + 1] == pair.second;
      ids[out] = match ? id : ids[i];
      i += match ? 2 : 1;
    }
    ids.resize(out);
  }

  std::vector<Word> words_;
  std::map<Pair, Entry> entries_;
  std::set<Pair> changed_;
  std::priority_queue<Offer> queue_;
};

}  // namespace

std::vector<Merge> train(const std::map<std::string, int64_t, std::less<>>& pieces,
                         const TrainerOptions& options) {
  const ByteOrder order;
  std::vector<Word> words;
  for (const auto& [piece, count] : pieces) {
    Word word{{}, count};
    for (const char byte : piece) word.ids.push_back(order.id[static_cast<uint8_t>(byte)]);
    if (word.ids.size() > 1) words.push_back(std::move(word));
  }
  Pairs pairs(std::move(words));
  std::vector<Merge> merges;
  Pair pair;
  while (static_cast<int64_t>(merges.size()) < options.merges &&
         pairs.best(options.min_frequency, pair)) {
    pairs.merge(pair, 256 + static_cast<int32_t>(merges.size()));
    merges.push_back({pair.first, pair.second});
  }
  return merges;
}

std::vector<std::string> token_bytes(const std::vector<Merge>& merges) {
  const ByteOrder order;
  std::vector<std::string> tokens;
  for (const uint8_t byte : order.byte) tokens.emplace_back(1, static_cast<char>(byte));
  for (const Merge& merge : merges) {
    SLUICE_CHECK(std::max(merge.left, merge.right) < static_cast<int32_t>(tokens.size()),
                 "merge {} {}", merge.left, merge.right);
    tokens.push_back(tokens[static_cast<size_t>(merge.left)] +
                     tokens[static_cast<size_t>(merge.right)]);
  }
  return tokens;
}

}  // namespace sluice::tools::bpe
