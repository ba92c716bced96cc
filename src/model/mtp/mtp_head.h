// The native multi-token-prediction head (spec/mtp.md): post-norm hidden in both places.
#pragma once

#include <memory>
#include <span>

#include "model/text/text_model.h"

namespace sluice::model {

class WeightLoader;

class MtpHead {
 public:
  // Rows of slot p = (h_p, x_{p+1}): batch row token = x_{p+1}, hidden row = h_p (or m of the
  // recursive step before), rope = position of p. Slot p lives at cache index p + 1, with token p +
  // 1's page, so that a page is a function of the tokens up to its end (design.md, prefix tree):
  // batch row index = p + 1; index 0 is never attended to. Uses the last layer of `cache`. Needs no
  // recurrent state. Returns m [rows, H], valid until the next forward (of head or model) with this
  // workspace; `hidden` may be the model's h_final of the same workspace or the m of the previous
  // call.
  ops::View forward(const ops::Batch& batch, const ops::View& hidden, ops::KvCache& cache,
                    Workspace& workspace, TraceSink* trace = nullptr) const;

  // Draft logits of rows of m: the model's own head, unless the file brings one for the drafts
  // (optional in GGUF). Only the columns `among` are made, at most 16 ranges as in ops::Product;
  // nothing: all. Otherwise as TextModel::logits.
  ops::View logits(const ops::View& m, std::span<const int32_t> rows, Workspace& workspace,
                   std::span<const ops::Range> among = {}) const;

 private:
  friend class TextModel;
  MtpHead() = default;
  static Result<std::unique_ptr<MtpHead>> load(const TextModel& model, WeightLoader& loader);
  const TextModel* model_ = nullptr;
  struct Weights;
  std::shared_ptr<Weights> weights_;
};

}  // namespace sluice::model
