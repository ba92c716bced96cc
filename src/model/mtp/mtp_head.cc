#include "model/mtp/mtp_head.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "model/text/weight_loader.h"
#include "model/text/weights.h"

namespace sluice::model {

struct MtpHead::Weights {
  std::unique_ptr<ops::DeviceBuffer> vectors;
  ops::View embedding_norm, hidden_norm, norm;
  MatrixPointer fc;
  LayerWeights layer;
  MatrixPointer embedding, head;  // null: the model's
};

Result<std::unique_ptr<MtpHead>> MtpHead::load(const TextModel& model, WeightLoader& loader) {
  std::unique_ptr<MtpHead> head(new MtpHead());
  head->model_ = &model;
  head->weights_ = std::make_shared<Weights>();
  Weights& weights = *head->weights_;
  SLUICE_ASSIGN(weights.vectors, loader.begin_vectors(Part::kMtp));
  loader.vector("mtp.embedding_norm", weights.embedding_norm);
  loader.vector("mtp.hidden_norm", weights.hidden_norm);
  SLUICE_TRY(loader.matrix("mtp.fc", weights.fc));
  SLUICE_TRY(loader.layer("mtp.layer.", LayerType::kFullAttention,
                          model.config().attention_layers(), weights.layer));
  loader.vector("mtp.norm", weights.norm);
  if (loader.has("mtp.embedding"))
    SLUICE_TRY(loader.matrix("mtp.embedding", weights.embedding, ops::MatrixUse::kLookup));
  if (loader.has("mtp.head")) SLUICE_TRY(loader.matrix("mtp.head", weights.head));
  return head;
}

// mtp.md section 2: u = [RMS1(e), RMS1(hidden)], embedding first; r0 = u fc^T; one attention layer;
// m = RMS1(r2; norm).
ops::View MtpHead::forward(const ops::Batch& batch, const ops::View& hidden, ops::KvCache& cache,
                           Workspace& workspace, TraceSink* trace) const {
  const Weights& weights = *weights_;
  const TextConfig& config = model_->config();
  Workspace::Views& views = workspace.views();
  const int64_t rows = batch.row_count();
  SLUICE_CHECK(rows > 0 && rows <= views.max_rows, "{} rows in a workspace of {}", rows,
               views.max_rows);
  SLUICE_CHECK(hidden.rows == rows, "{} hidden rows for {} tokens", hidden.rows, rows);
  // Cache index p + 1 holds slot p, so index 0 stays empty and is not attended to.
  const Step step{.backend = model_->backend(),
                  .config = config,
                  .batch = batch,
                  .cache = &cache,
                  .views = views,
                  .rows = rows,
                  .answer_rows = batch.answer_rows(),
                  .first_index = 1};
  const Tap tap(trace, "mtp.");

  // `hidden` may be h_final or an earlier m of this workspace: it is consumed here, before anything
  // is written there.
  const ops::View embedded = step.narrow(views.delta), fc_in = step.narrow(views.fc_in);
  std::vector<int32_t> tokens(static_cast<size_t>(rows));
  std::transform(batch.rows.begin(), batch.rows.end(), tokens.begin(),
                 [](const ops::Row& row) { return row.token; });
  const ops::Matrix* table =
      weights.embedding ? weights.embedding.get() : model_->weights_->embedding.get();
  step.backend.embed({.table = table, .tokens = tokens, .out = embedded});
  step.backend.rms_norm({.x = embedded,
                         .delta = {},
                         .weight = weights.embedding_norm,
                         .eps = config.rms_eps,
                         .out = fc_in.column_range(0, config.hidden)});
  step.backend.rms_norm({.x = hidden,
                         .delta = {},
                         .weight = weights.hidden_norm,
                         .eps = config.rms_eps,
                         .out = fc_in.column_range(config.hidden, config.hidden)});
  tap("fc_in", fc_in);

  const ops::View residual = step.narrow(views.hidden), normed = step.narrow(views.normed),
                  m = step.narrow(views.m);
  const ops::Product product{weights.fc.get(), residual};
  step.backend.matmul({.x = fc_in, .products = {&product, 1}, .answer_rows = step.answer_rows});
  tap("fc_out", residual);
  step.backend.rms_norm({.x = residual,
                         .delta = {},
                         .weight = weights.layer.input_norm,
                         .eps = config.rms_eps,
                         .out = normed});
  run_layer(step, weights.layer, weights.norm, m, Tap(trace, "mtp.layer."));
  tap("hidden", m);
  return m;
}

ops::View MtpHead::logits(const ops::View& m, std::span<const int32_t> rows, Workspace& workspace,
                          std::span<const ops::Range> among) const {
  const ops::Matrix& head = weights_->head ? *weights_->head : *model_->weights_->head;
  return model_->product_of_rows(head, m, rows, among, workspace);
}

}  // namespace sluice::model
