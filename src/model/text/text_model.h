// The text model: weights taken in by a backend, and the forward pass over a flat batch.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "model/binding.h"
#include "model/config.h"
#include "model/trace.h"
#include "ops/backend.h"

namespace sluice::model {

// Activations of a step, allocated once for the largest batch and narrowed by each.
class Workspace {
 public:
  // Also reserves the backend's scratch memory for such steps (which bytes() does not count).
  static Result<std::unique_ptr<Workspace>> create(const TextConfig& config, ops::Backend& backend,
                                                   int64_t max_rows, int64_t max_logit_rows);
  static size_t bytes(const TextConfig& config, int64_t max_rows, int64_t max_logit_rows);
  ~Workspace();

  int64_t max_rows() const;
  int64_t max_logit_rows() const;

  struct Views;
  Views& views() { return *views_; }

 private:
  Workspace();
  std::unique_ptr<Views> views_;
};

struct LoadOptions {
  bool with_mtp = true;
  // Called with stored bytes of weights taken in so far and in all.
  std::function<void(uint64_t done, uint64_t total)> progress;
};

class MtpHead;

class TextModel {
 public:
  // Streams the weights into the backend one by one; source pages are dropped behind it. The
  // checkpoint's mappings must outlive the model (the embedding is looked up in place).
  static Result<std::unique_ptr<TextModel>> load(const checkpoint::Checkpoint& checkpoint,
                                                 const Binding& binding, ops::Backend& backend,
                                                 const LoadOptions& options);
  // What load() will make the backend allocate: text model, and draft head if usable and asked for.
  struct WeightBytes {
    uint64_t text = 0, mtp = 0;
  };
  static WeightBytes weight_bytes(const Binding& binding, const ops::Backend& backend,
                                  bool with_mtp);
  ~TextModel();

  const TextConfig& config() const;
  ops::Backend& backend() const;
  MtpHead* mtp() const;  // nullptr without a usable head

  // Shapes of the state this model needs. Attention layers in order, the draft head's layer last
  // (if loaded).
  ops::KvSpec kv_spec(int64_t pages, ops::KvFormat format) const;
  ops::RecurrentSpec recurrent_spec(int64_t slots, int64_t pending_rows) const;
  static ops::KvSpec kv_spec(const Binding& binding, bool with_mtp, int64_t pages,
                             ops::KvFormat format);
  static ops::RecurrentSpec recurrent_spec(const TextConfig& config, int64_t slots,
                                           int64_t pending_rows);

  // All layers over the batch (at most max_rows rows). Returns h_final, post-norm, [rows, H]; valid
  // until the next forward with this workspace.
  ops::View forward(const ops::Batch& batch, ops::KvCache& cache, ops::RecurrentState& state,
                    Workspace& workspace, TraceSink* trace = nullptr) const;

  // Logits of the given rows of `hidden` (h_final or the head's m): [rows.size(), V], at most
  // max_logit_rows. Valid until the next call. Logits are always computed by the answer's product,
  // whatever the row's role was, so that they do not depend on it.
  ops::View logits(const ops::View& hidden, std::span<const int32_t> rows,
                   Workspace& workspace) const;

  // The share of the output head in the stored bytes that a step reads.
  double head_share() const;

 private:
  friend class MtpHead;
  TextModel();
  ops::View product_of_rows(const ops::Matrix& head, const ops::View& hidden,
                            std::span<const int32_t> rows, std::span<const ops::Range> among,
                            Workspace& workspace) const;
  struct Weights;
  std::unique_ptr<Weights> weights_;
  std::unique_ptr<MtpHead> mtp_;
};

}  // namespace sluice::model
