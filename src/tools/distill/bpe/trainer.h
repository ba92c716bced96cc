// Byte-level BPE from counted pieces: the most frequent pair becomes a token, again and again.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace sluice::tools::bpe {

// One merge: the ids of its parts. The bytes have ids 0 to 255 in the order of the byte alphabet's
// characters, as the family has them; merge i makes token 256 + i.
struct Merge {
  int32_t left = 0, right = 0;
  friend bool operator==(const Merge&, const Merge&) = default;
};

struct TrainerOptions {
  int64_t merges = 0;         // at most
  int64_t min_frequency = 2;  // a pair that occurs less often is not merged
};

// Deterministic: of pairs equally frequent the one with the smaller left id goes first, then the
// smaller right id. Ends early when no pair is frequent enough. Memory: a few times the distinct
// pieces; time: about merges x occurrences of each merged pair, not merges x pieces.
std::vector<Merge> train(const std::map<std::string, int64_t, std::less<>>& pieces,
                         const TrainerOptions& options);

// Bytes of token `id` under `merges`.
std::vector<std::string> token_bytes(const std::vector<Merge>& merges);

}  // namespace sluice::tools::bpe
