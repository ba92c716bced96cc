#include "runtime/spec/draft_vocabulary.h"

#include <algorithm>
#include <bit>

namespace sluice::runtime {
namespace {

// As many as fit into one set of products side by side; runs of them are joined.
constexpr uint64_t kPieces = 16;

constexpr int64_t kPromptWeight = 1, kAnswerWeight = 8;
constexpr int64_t kMemory = 4096;  // weight above which all that was seen counts half
// Before anything is seen every piece stands at twice its bar, with the weight of so much.
constexpr int64_t kBelief = 512;

// A piece pays where the share of tokens that are lost without it is above the share of time that
// its rows take. Tokens: at depth 1 and good acceptance a lost share s of the proposals loses 0.5 s
// of the tokens, at depth 3 1.3 s, because what follows is lost too. Time: the rows are multiplied
// once a draft, in a step that grows with the drafts. The quotient of the two is nearly the same at
// every depth.
constexpr double kWorth = 1.7;

}  // namespace

DraftVocabulary::DraftVocabulary(int64_t vocabulary, double head_share, int64_t draft_rows)
    : vocabulary_(vocabulary), follows_(draft_rows == kThatPay) {
  if (!follows_) {
    const int64_t rows = (draft_rows + ops::kGrid - 1) / ops::kGrid * ops::kGrid;
    if (rows > 0 && rows < vocabulary) ranges_.push_back({0, rows});
    return;
  }
  const uint64_t least = (static_cast<uint64_t>(vocabulary) + kPieces - 1) / kPieces;
  piece_rows_ = std::max<int64_t>(ops::kGrid, static_cast<int64_t>(std::bit_ceil(least)));
  for (int64_t first = 0; first < vocabulary; first += piece_rows_) {
    Piece piece;
    piece.ids = {first, std::min(first + piece_rows_, vocabulary)};
    piece.bar = kWorth * head_share * static_cast<double>(piece.ids.count()) /
                static_cast<double>(vocabulary);
    pieces_.push_back(piece);
  }
}

void DraftVocabulary::see(TokenId token, int64_t weight) {
  pieces_[static_cast<size_t>(token / piece_rows_)].seen += weight;
  seen_ += weight;
  if (seen_ < kMemory) return;
  seen_ = 0;
  for (Piece& piece : pieces_) seen_ += piece.seen /= 2;
}

void DraftVocabulary::on_prompt(std::span<const TokenId> prompt) {
  if (!follows_) return;
  // What comes before is forgotten anyway.
  for (const TokenId token : prompt.last(std::min<size_t>(prompt.size(), kMemory)))
    see(token, kPromptWeight);
  choose();
}

void DraftVocabulary::on_answer(TokenId token) {
  if (!follows_) return;
  see(token, kAnswerWeight);
  choose();
}

void DraftVocabulary::choose() {
  ranges_.clear();
  for (const Piece& piece : pieces_) {
    const double share = (static_cast<double>(piece.seen) + 2 * piece.bar * kBelief) /
                         static_cast<double>(seen_ + kBelief);
    if (share < piece.bar) continue;
    if (!ranges_.empty() && ranges_.back().end == piece.ids.first) {
      ranges_.back().end = piece.ids.end;
    } else {
      ranges_.push_back(piece.ids);
    }
  }
  if (rows() == vocabulary_) ranges_.clear();
}

int64_t DraftVocabulary::rows() const {
  int64_t rows = 0;
  for (const ops::Range& range : ranges_) rows += range.count();
  return rows == 0 ? vocabulary_ : rows;
}

}  // namespace sluice::runtime
