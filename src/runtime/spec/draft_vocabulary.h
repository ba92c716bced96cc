// Which rows of the output head the draft head's proposals are multiplied with: of the pieces of
// the vocabulary those that the texts at hand use (docs/decisions/draft-vocabulary.md). It moves
// time only: what is proposed is verified with the whole head.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ops/backend.h"
#include "runtime/sampler/token_mask.h"

namespace sluice::runtime {

class DraftVocabulary {
 public:
  // EngineShape::draft_rows: the pieces that pay; the whole head; or so many rows from the first.
  static constexpr int64_t kThatPay = -1, kAll = 0;

  // `head_share`: of the bytes of a step without drafts, those of the head.
  DraftVocabulary(int64_t vocabulary, double head_share, int64_t draft_rows);

  // A prompt says less about what comes than an answer: eight of its tokens count as one.
  void on_prompt(std::span<const TokenId> prompt);
  void on_answer(TokenId token);

  // Ascending and not adjacent, at most 8; empty: all rows.
  std::span<const ops::Range> ranges() const { return ranges_; }
  int64_t rows() const;

 private:
  struct Piece {
    ops::Range ids;
    int64_t seen = 0;  // weight of the tokens that were of it
    double bar = 0;    // the share of all tokens above which it pays
  };
  void see(TokenId token, int64_t weight);
  void choose();

  const int64_t vocabulary_;
  const bool follows_;  // the texts
  int64_t piece_rows_ = 0;
  std::vector<Piece> pieces_;
  int64_t seen_ = 0;
  std::vector<ops::Range> ranges_;
};

}  // namespace sluice::runtime
