// Proposals by the model's own draft head (spec/mtp.md sections 5 and 6).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "model/mtp/mtp_head.h"
#include "runtime/sequence.h"
#include "runtime/spec/draft_vocabulary.h"

namespace sluice::runtime {

// Rows of the step just taken that were kept: hidden rows [first_row, first_row + count) belong to
// tokens [first_index, first_index + count) of the sequence.
struct KeptRows {
  Sequence* sequence = nullptr;
  int64_t first_row = 0, count = 0, first_index = 0;
  bool answer = false;
  int depth = 0;  // proposals wanted
};

class MtpDrafter {
 public:
  static Result<std::unique_ptr<MtpDrafter>> create(const model::TextModel& model, int64_t max_rows,
                                                    int64_t draft_rows);

  // What proposals are taken from; told of every prompt and answer.
  DraftVocabulary& vocabulary() { return *vocabulary_; }

  // Fills the head's cache for the kept rows (slot p pairs h_p with token p + 1, recomputed from
  // the target's hidden vectors also where a recursive draft step wrote before), then proposes up
  // to `depth` tokens for each sequence that is past its prompt, into Sequence::drafts. What a
  // grammar would refuse is not proposed. `hidden` is the forward pass's result.
  void propose(std::span<const KeptRows> kept, const ops::View& hidden, ops::KvCache& cache,
               model::Workspace& workspace);

  // The head's row of the slot before the first token to be read, for a sequence that begins with a
  // saved state: `hidden` [1, H] is the target's vector there, which was saved with it.
  void fill_row(const Sequence& sequence, const ops::View& hidden, ops::KvCache& cache,
                model::Workspace& workspace);

 private:
  struct Open;
  MtpDrafter() = default;
  std::vector<TokenId> choose(std::span<const Open> open, const ops::View& m,
                              model::Workspace& workspace);
  TokenId best_allowed(const ops::View& logits);

  const model::TextModel* model_ = nullptr;
  std::optional<DraftVocabulary> vocabulary_;
  std::unique_ptr<ops::DeviceBuffer> buffer_;
  ops::View rows_;                 // [max_rows, H]: hidden rows gathered for the head
  std::vector<uint64_t> allowed_;  // a sequence's mask
};

}  // namespace sluice::runtime
