#include "model/text/text_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/memory.h"
#include "model/mtp/mtp_head.h"
#include "model/text/weight_loader.h"
#include "model/text/weights.h"

namespace sluice::model {

TextModel::TextModel() : weights_(std::make_unique<Weights>()) {}
TextModel::~TextModel() = default;

const TextConfig& TextModel::config() const { return weights_->config; }
ops::Backend& TextModel::backend() const { return *weights_->backend; }
MtpHead* TextModel::mtp() const { return mtp_.get(); }

Result<std::unique_ptr<TextModel>> TextModel::load(const checkpoint::Checkpoint& checkpoint,
                                                   const Binding& binding, ops::Backend& backend,
                                                   const LoadOptions& options) {
  SLUICE_TRY(require_runnable(binding, checkpoint.folder().string()));
  const bool with_mtp = options.with_mtp && binding.mtp_usable;
  const uint64_t total = WeightLoader::stored_bytes(binding, Part::kText) +
                         (with_mtp ? WeightLoader::stored_bytes(binding, Part::kMtp) : 0);
  const WeightBytes packed = weight_bytes(binding, backend, with_mtp);
  const bool stays_cached =
      WeightLoader::stays_cached(total, packed.text + packed.mtp, available_memory());
  WeightLoader loader(checkpoint, binding, backend, options.progress, total, stays_cached);

  std::unique_ptr<TextModel> model(new TextModel());
  Weights& weights = *model->weights_;
  weights.config = binding.config;
  weights.backend = &backend;
  SLUICE_ASSIGN(weights.vectors, loader.begin_vectors(Part::kText));
  SLUICE_TRY(loader.matrix("embedding", weights.embedding, ops::MatrixUse::kLookup));
  weights.layers.resize(static_cast<size_t>(binding.config.layers));
  int64_t of_type[2] = {0, 0};
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const LayerType type = binding.config.layer_types[i];
    SLUICE_TRY(loader.layer(fmt::format("layers.{}.", i), type,
                            of_type[static_cast<size_t>(type)]++, weights.layers[i]));
  }
  loader.vector("final_norm", weights.final_norm);
  SLUICE_TRY(loader.matrix(binding.config.tied ? "embedding" : "head", weights.head));
  const BoundWeight& head = *binding.find(binding.config.tied ? "embedding" : "head");
  const uint64_t looked_up =
      binding.config.tied ? 0 : WeightLoader::stored_bytes(*binding.find("embedding"));
  weights.head_share =
      static_cast<double>(WeightLoader::stored_bytes(head)) /
      static_cast<double>(WeightLoader::stored_bytes(binding, Part::kText) - looked_up);
  if (with_mtp) {
    SLUICE_ASSIGN(model->mtp_, MtpHead::load(*model, loader));
  }
  loader.tune_backend();
  const ops::KvSpec spec = kv_spec(binding, with_mtp, 0, ops::KvFormat::kFp8);
  weights.key_scales = spec.key_scales;
  weights.value_scales = spec.value_scales;
  return model;
}

TextModel::WeightBytes TextModel::weight_bytes(const Binding& binding, const ops::Backend& backend,
                                               bool with_mtp) {
  const auto part = [&](Part which) {
    return WeightLoader::vector_bytes(binding, which) +
           WeightLoader::matrix_bytes(binding, backend, which);
  };
  return {part(Part::kText), with_mtp && binding.mtp_usable ? part(Part::kMtp) : 0};
}

ops::KvSpec TextModel::kv_spec(const Binding& binding, bool with_mtp, int64_t pages,
                               ops::KvFormat format) {
  ops::KvSpec spec;
  spec.layers = binding.config.attention_layers() + (with_mtp && binding.mtp_usable ? 1 : 0);
  spec.heads = binding.config.kv_heads;
  spec.head_dim = binding.config.head_dim;
  spec.pages = pages;
  spec.format = format;
  if (!binding.key_scales.empty()) {
    spec.key_scales = binding.key_scales;
    spec.value_scales = binding.value_scales;
    spec.key_scales.resize(static_cast<size_t>(spec.layers), 1.0f);
    spec.value_scales.resize(static_cast<size_t>(spec.layers), 1.0f);
  }
  return spec;
}

ops::KvSpec TextModel::kv_spec(int64_t pages, ops::KvFormat format) const {
  ops::KvSpec spec;
  spec.layers = config().attention_layers() + (mtp_ != nullptr ? 1 : 0);
  spec.heads = config().kv_heads;
  spec.head_dim = config().head_dim;
  spec.pages = pages;
  spec.format = format;
  spec.key_scales = weights_->key_scales;
  spec.value_scales = weights_->value_scales;
  return spec;
}

ops::RecurrentSpec TextModel::recurrent_spec(const TextConfig& config, int64_t slots,
                                             int64_t pending_rows) {
  ops::RecurrentSpec spec;
  spec.layers = config.gdn_layers();
  spec.key_heads = config.gdn_key_heads;
  spec.value_heads = config.gdn_value_heads;
  spec.key_dim = config.gdn_key_dim;
  spec.value_dim = config.gdn_value_dim;
  spec.conv_kernel = config.conv_kernel;
  spec.head_order = config.head_order;
  spec.slots = slots;
  spec.pending_rows = pending_rows;
  return spec;
}

ops::RecurrentSpec TextModel::recurrent_spec(int64_t slots, int64_t pending_rows) const {
  return recurrent_spec(config(), slots, pending_rows);
}

// architecture.md 4.1.
ops::View TextModel::forward(const ops::Batch& batch, ops::KvCache& cache,
                             ops::RecurrentState& state, Workspace& workspace,
                             TraceSink* trace) const {
  const Weights& weights = *weights_;
  Workspace::Views& views = workspace.views();
  const int64_t rows = batch.row_count();
  SLUICE_CHECK(rows > 0 && rows <= views.max_rows, "{} rows in a workspace of {}", rows,
               views.max_rows);
  const Step step{.backend = backend(),
                  .config = config(),
                  .batch = batch,
                  .cache = &cache,
                  .state = &state,
                  .views = views,
                  .rows = rows,
                  .answer_rows = batch.answer_rows()};
  const Tap tap(trace, "");
  const ops::View hidden = step.narrow(views.hidden), normed = step.narrow(views.normed),
                  final = step.narrow(views.final);

  std::vector<int32_t> tokens(static_cast<size_t>(rows));
  std::transform(batch.rows.begin(), batch.rows.end(), tokens.begin(),
                 [](const ops::Row& row) { return row.token; });
  step.backend.embed({.table = weights.embedding.get(), .tokens = tokens, .out = hidden});
  tap("embeddings", hidden);

  step.backend.rms_norm({.x = hidden,
                         .delta = {},
                         .weight = weights.layers.front().input_norm,
                         .eps = config().rms_eps,
                         .out = normed});
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const bool last = i + 1 == weights.layers.size();
    const ops::View next_norm = last ? weights.final_norm : weights.layers[i + 1].input_norm;
    run_layer(step, weights.layers[i], next_norm, last ? final : normed,
              Tap(trace, trace != nullptr ? fmt::format("layers.{}.", i) : std::string()));
  }
  tap("final_norm", final);
  return final;
}

double TextModel::head_share() const { return weights_->head_share; }

ops::View TextModel::logits(const ops::View& hidden, std::span<const int32_t> rows,
                            Workspace& workspace) const {
  return product_of_rows(*weights_->head, hidden, rows, {}, workspace);
}

ops::View TextModel::product_of_rows(const ops::Matrix& head, const ops::View& hidden,
                                     std::span<const int32_t> rows,
                                     std::span<const ops::Range> among,
                                     Workspace& workspace) const {
  const Workspace::Views& views = workspace.views();
  const auto count = static_cast<int64_t>(rows.size());
  SLUICE_CHECK(count > 0 && count <= views.max_logit_rows, "{} logit rows of {}", count,
               views.max_logit_rows);
  const ops::View gathered = views.logit_rows.first_rows(count),
                  logits = views.logits.first_rows(count);
  backend().gather_rows({.x = hidden, .rows = rows, .out = gathered});
  std::vector<ops::Product> products;
  for (const ops::Range& range : among) products.push_back({&head, logits, range});
  if (among.empty()) products.push_back({&head, logits});
  backend().matmul({.x = gathered, .products = products, .answer_rows = count});
  return logits;
}

}  // namespace sluice::model
