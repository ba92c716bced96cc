#include "tools/bench/step_cost.h"

#include <algorithm>
#include <string_view>

#include "model/text/text_model.h"

namespace sluice::tools {
namespace {

PartCounts count_weight(const model::BoundWeight& weight, const ops::Backend& backend) {
  const int64_t elements = weight.matrix.rows * weight.matrix.columns;
  if (weight.vector) return {static_cast<uint64_t>(elements) * sizeof(float), 0, 0};
  const bool floating = has_float_codes(weight.matrix.format);
  return {backend.matrix_bytes(weight.matrix, ops::MatrixUse::kProduct), floating ? 0 : elements,
          floating ? elements : 0};
}

void add_rows(StepCost& cost, const PartCounts& part, int64_t rows) {
  cost.integer += rows * part.integer;
  cost.floating += rows * part.floating;
}

}  // namespace

PartCounts& PartCounts::operator+=(const PartCounts& other) {
  bytes += other.bytes;
  integer += other.integer;
  floating += other.floating;
  return *this;
}

ModelCounts count_model(const model::Binding& binding, const ops::Backend& backend,
                        ops::KvFormat kv) {
  const model::TextConfig& config = binding.config;
  ModelCounts counts;
  const std::string_view head_role = config.tied ? "embedding" : "head";
  bool own_draft_head = false;
  for (const model::BoundWeight& weight : binding.weights) {
    const PartCounts part = count_weight(weight, backend);
    const bool is_head = weight.role == head_role;
    if (weight.part == model::Part::kText && (is_head || weight.role != "embedding")) {
      (is_head ? counts.head : counts.layers) += part;
      if (!weight.vector)
        counts.bytes_by_format[std::string(format_name(weight.matrix.format))] += part.bytes;
    }
    if (weight.part == model::Part::kMtp && binding.mtp_usable && weight.role != "mtp.embedding") {
      const bool is_draft_head = weight.role == "mtp.head";
      own_draft_head = own_draft_head || is_draft_head;
      (is_draft_head ? counts.draft_head : counts.draft) += part;
    }
  }
  const ops::KvSpec text = model::TextModel::kv_spec(binding, false, 1, kv);
  counts.kv_bytes = text.bytes_per_page() / ops::kGrid;
  const int64_t per_layer = 2 * config.query_heads * config.head_dim;
  counts.attention_products = text.layers * per_layer;
  if (binding.mtp_usable) {
    if (!own_draft_head) counts.draft_head = counts.head;
    const ops::KvSpec with_draft = model::TextModel::kv_spec(binding, true, 1, kv);
    counts.draft_kv_bytes = with_draft.bytes_per_page() / ops::kGrid - counts.kv_bytes;
    counts.draft_attention_products = per_layer;
  }
  const ops::RecurrentSpec state = model::TextModel::recurrent_spec(config, 1, 1);
  counts.state_bytes = state.state_bytes();
  counts.pending_bytes = state.pending_bytes();
  counts.state_products = state.layers * (3 * state.value_heads * state.key_dim * state.value_dim +
                                          state.conv_channels() * state.conv_kernel);
  return counts;
}

StepCost answer_cost(const ModelCounts& counts, int64_t sequences, int64_t drafts, int64_t context,
                     double draft_head_share) {
  const auto of = [](int64_t count) { return static_cast<uint64_t>(count); };
  const int64_t rows = sequences * (1 + drafts);
  const auto share = [&](auto whole) {
    return static_cast<decltype(whole)>(draft_head_share * static_cast<double>(whole));
  };
  const PartCounts draft_head{share(counts.draft_head.bytes), share(counts.draft_head.integer),
                              share(counts.draft_head.floating)};
  StepCost cost;
  cost.read_bytes =
      counts.layers.bytes + counts.head.bytes + of(sequences * context) * counts.kv_bytes +
      of(drafts) *
          (counts.draft.bytes + draft_head.bytes + of(sequences * context) * counts.draft_kv_bytes);
  cost.update_bytes = 2 * (of(sequences) * counts.state_bytes + of(rows) * counts.pending_bytes);
  add_rows(cost, counts.layers, rows);
  add_rows(cost, counts.head, rows);
  add_rows(cost, counts.draft, sequences * drafts);
  add_rows(cost, draft_head, sequences * drafts);
  cost.floating += rows * (context * counts.attention_products + counts.state_products) +
                   sequences * drafts * context * counts.draft_attention_products;
  return cost;
}

StepCost prompt_cost(const ModelCounts& counts, int64_t length, int64_t rows) {
  const auto steps = static_cast<uint64_t>((length + rows - 1) / rows);
  StepCost cost;
  cost.read_bytes = steps * counts.layers.bytes + counts.head.bytes;
  cost.update_bytes = 2 * steps * counts.state_bytes;
  // What the steps before have left is read again.
  for (int64_t begin = rows; begin < length; begin += rows)
    cost.read_bytes += static_cast<uint64_t>(begin) * counts.kv_bytes;
  add_rows(cost, counts.layers, length);
  add_rows(cost, counts.head, 1);
  // Row i sees i + 1 tokens.
  cost.floating += length * (length + 1) / 2 * counts.attention_products;
  cost.floating += length * counts.state_products;
  return cost;
}

double floor_seconds(const StepCost& cost, const MachineSpeed& speed, ops::ActivationMode mode) {
  const double memory = static_cast<double>(cost.read_bytes) / speed.read +
                        static_cast<double>(cost.update_bytes) / speed.update;
  const double int8 = mode == ops::ActivationMode::kWide ? speed.int8 / 2 : speed.int8;
  const double integer = std::max({speed.fp32, speed.int16, int8});
  const double arithmetic =
      static_cast<double>(cost.integer) / integer + static_cast<double>(cost.floating) / speed.fp32;
  return std::max(memory, arithmetic);
}

}  // namespace sluice::tools
