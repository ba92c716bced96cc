#include "tools/distill/network.h"

#include <utility>

namespace sluice::distill {

using torch::Tensor;

Network::Network(const model::TextConfig& config, const ParameterSet& parameters,
                 torch::ScalarType compute)
    : config_(config),
      parameters_(parameters),
      compute_(compute),
      precise_(compute == torch::kDouble ? torch::kDouble : torch::kFloat),
      frequencies_(torch::tensor(config.rotary.inverse_frequencies, torch::kFloat)),
      delta_{config.gdn_key_heads, config.gdn_value_heads, config.gdn_key_dim,
             config.gdn_value_dim} {}

Tensor Network::norm(const Tensor& x, size_t weight, torch::ScalarType type) const {
  return rms_norm(x, value(weight), static_cast<double>(config_.rms_eps), type);
}

Tensor Network::linear(const Tensor& x, size_t weight) const {
  return torch::linear(x, value(weight).to(compute_));
}

Network::Rotation Network::rotation(const Tensor& positions) const {
  // The product in float32, as the reference has it (architecture.md 4.5); the functions in double,
  // because torch's float32 cosine depends in the last bit on a value's place in the array.
  const Tensor angles =
      (positions.unsqueeze(1) * frequencies_.unsqueeze(0)).to(torch::kDouble).unsqueeze(1);
  const double factor = static_cast<double>(config_.rotary.attention_factor);
  const auto rounded = [&](const Tensor& values) {
    return (values.to(torch::kFloat) * factor).to(precise_);
  };
  return {rounded(angles.cos()), rounded(angles.sin())};
}

Tensor Network::rotate(const Tensor& x, const Rotation& rotation) const {
  const int64_t pairs = frequencies_.size(0), dim = x.size(2);
  const Tensor first = x.narrow(2, 0, pairs), second = x.narrow(2, pairs, pairs);
  const Tensor rest = x.narrow(2, 2 * pairs, dim - 2 * pairs);
  return torch::cat({first * rotation.cosine - second * rotation.sine,
                     second * rotation.cosine + first * rotation.sine, rest},
                    2);
}

Tensor Network::mlp(const Tensor& x, const MlpIndex& index) const {
  const Tensor normed = norm(x, index.norm, compute_);
  return x + linear(swiglu(linear(normed, index.gate_up)), index.down);
}

Tensor Network::gdn_mixer(const Tensor& x, const GdnIndex& index, const Batch& batch) const {
  const Tensor core =
      gdn_core(linear(x, index.in), value(index.conv), value(index.a_log), value(index.dt_bias),
               value(index.norm), batch.segments, delta_, static_cast<double>(config_.rms_eps));
  return linear(core, index.out);
}

Network::Query Network::query(const Tensor& x, const AttentionIndex& index,
                              const Rotation& rotation) const {
  // Per head the query, then its gate (architecture.md 4.4).
  const int64_t dim = config_.head_dim;
  const Tensor both = linear(x, index.q).view({-1, config_.query_heads, 2 * dim}).to(precise_);
  const Tensor q = norm(both.narrow(2, 0, dim), index.q_norm, precise_);
  return {rotate(q, rotation), both.narrow(2, dim, dim).sigmoid()};
}

Network::DraftKeys Network::keys(const Tensor& x, const AttentionIndex& index,
                                 const Rotation& rotation) const {
  const Tensor both =
      linear(x, index.kv).view({-1, 2, config_.kv_heads, config_.head_dim}).to(precise_);
  const Tensor k = norm(both.select(1, 0), index.k_norm, precise_);
  return {rotate(k, rotation), both.select(1, 1)};
}

Tensor Network::attention_out(const Tensor& heads, const Tensor& gate,
                              const AttentionIndex& index) const {
  return linear((heads * gate.reshape(heads.sizes())).to(compute_), index.out);
}

Tensor Network::hidden(const Batch& batch) const {
  Tensor x = torch::embedding(value(parameters_.embedding), batch.tokens);
  const Rotation rotation = this->rotation(batch.positions);
  for (const LayerIndex& layer : parameters_.layers) {
    const Tensor normed = norm(x, layer.input_norm, compute_);
    if (layer.type == model::LayerType::kLinearAttention) {
      x = x + gdn_mixer(normed, layer.gdn, batch);
    } else {
      const Query q = query(normed, layer.attention, rotation);
      const DraftKeys kv = keys(normed, layer.attention, rotation);
      const Tensor heads = attention(q.q, kv.k, kv.v, {}, {}, batch.groups, batch.last);
      x = x + attention_out(heads, q.gate, layer.attention);
    }
    x = mlp(x, layer.mlp);
  }
  return norm(x, parameters_.final_norm, precise_);
}

Tensor Network::logits(const Tensor& hidden) const {
  return linear(hidden.to(compute_), parameters_.head).to(precise_);
}

Tensor Network::draft_input(const Tensor& embedding, const Tensor& hidden) const {
  const Tensor both = torch::cat({norm(embedding, parameters_.mtp_embedding_norm, compute_),
                                  norm(hidden, parameters_.mtp_hidden_norm, compute_)},
                                 1);
  return linear(both, parameters_.mtp_fc).to(precise_);
}

std::vector<Tensor> Network::draft(const Batch& batch, const Tensor& hidden) const {
  const LayerIndex& layer = parameters_.mtp_layer;
  const Tensor& embedding = value(parameters_.embedding);
  // Every slot of the sample has keys and values, made from the text model's hidden vectors; only
  // the starts need the rest of the layer (mtp.md section 5).
  const Tensor slots = draft_input(torch::embedding(embedding, batch.next_tokens), hidden);
  const Tensor normed = norm(slots, layer.input_norm, compute_);
  const DraftKeys shared = keys(normed, layer.attention, rotation(batch.positions));

  std::vector<Tensor> outputs;
  Tensor x = slots.index_select(0, batch.starts);
  Tensor inputs = normed.index_select(0, batch.starts);
  std::vector<Tensor> chain_k, chain_v;
  for (const Batch::DraftStep& step : batch.draft_steps) {
    const Rotation rotation = this->rotation(step.positions);
    Tensor extra_k, extra_v;
    if (!outputs.empty()) {
      x = draft_input(torch::embedding(embedding, step.tokens), outputs.back());
      inputs = norm(x, layer.input_norm, compute_);
      const DraftKeys own = keys(inputs, layer.attention, rotation);
      chain_k.push_back(own.k);
      chain_v.push_back(own.v);
      extra_k = torch::stack(chain_k, 1);
      extra_v = torch::stack(chain_v, 1);
    }
    const Query q = query(inputs, layer.attention, rotation);
    const Tensor heads =
        attention(q.q, shared.k, shared.v, extra_k, extra_v, batch.start_groups, batch.starts);
    x = mlp(x + attention_out(heads, q.gate, layer.attention), layer.mlp);
    outputs.push_back(norm(x, parameters_.mtp_norm, precise_));
  }
  return outputs;
}

BatchLosses Network::losses(const Batch& batch, const std::vector<double>& draft_weights) const {
  BatchLosses result;
  const Tensor hidden = this->hidden(batch);
  const Tensor head = value(parameters_.head).to(compute_);
  const HeadResult text = head_loss(hidden.index_select(0, batch.loss_rows).to(compute_), head,
                                    batch.labels, batch.weights);
  result.total = text.loss;
  result.text = text.loss.item<double>();
  result.text_hits = text.hits;
  if (batch.draft_steps.empty()) return result;
  const std::vector<Tensor> outputs = draft(batch, hidden);
  for (size_t step = 0; step < outputs.size(); ++step) {
    const Batch::DraftStep& rows = batch.draft_steps[step];
    const HeadResult one = head_loss(outputs[step].to(compute_), head, rows.labels, rows.weights);
    result.total = result.total + one.loss * draft_weights[step];
    result.draft.push_back(one.loss.item<double>());
    result.draft_hits.push_back(one.hits);
  }
  return result;
}

}  // namespace sluice::distill
