#include "model/text/layer.h"

#include <array>

namespace sluice::model {
namespace {

void multiply(const Step& step, const ops::View& x, std::span<const ops::Product> products) {
  step.backend.matmul({.x = x, .products = products, .answer_rows = step.answer_rows});
}

void multiply(const Step& step, const ops::View& x, const MatrixPointer& weight,
              const ops::View& out) {
  const ops::Product product{weight.get(), out};
  multiply(step, x, {&product, 1});
}

// architecture.md 4.4.
void attention(const Step& step, const LayerWeights& layer, const ops::View& x,
               const ops::View& out, const Tap& tap) {
  const AttentionWeights& weights = layer.attention;
  const Workspace::Views& views = step.views;
  const ops::View query_gate = step.narrow(views.query_gate), key = step.narrow(views.key),
                  value = step.narrow(views.value);
  const ops::View query = step.narrow(views.query), heads = step.narrow(views.heads);
  const std::array products = {ops::Product{weights.query_gate.get(), query_gate},
                               ops::Product{weights.key.get(), key},
                               ops::Product{weights.value.get(), value}};
  multiply(step, x, products);
  tap("attn.q_proj", query_gate);
  tap("attn.k_proj", key);
  tap("attn.v_proj", value);

  const ops::View query_normed = tap.on() ? heads : ops::View();
  const ops::View key_normed = tap.on() ? step.narrow(views.key_normed) : ops::View();
  step.backend.attention_input({.batch = &step.batch,
                                .query_gate = query_gate,
                                .key = key,
                                .value = value,
                                .query_norm = weights.query_norm,
                                .key_norm = weights.key_norm,
                                .eps = step.config.rms_eps,
                                .rotary = &step.config.rotary,
                                .cache = step.cache,
                                .layer = layer.state_layer,
                                .query = query,
                                .query_normed = query_normed,
                                .key_normed = key_normed});
  tap("attn.q_normed", query_normed);
  tap("attn.k_normed", key_normed);
  tap("attn.q_roped", query);
  tap("attn.k_roped", key);

  step.backend.attention({.batch = &step.batch,
                          .query = query,
                          .cache = step.cache,
                          .layer = layer.state_layer,
                          .first_index = step.first_index,
                          .out = heads});
  tap("attn.heads_out", heads);
  step.backend.attention_gate(
      {.heads = heads, .query_gate = query_gate, .head_dim = step.config.head_dim, .out = heads});
  tap("attn.heads_gated", heads);
  multiply(step, heads, weights.out, out);
}

// architecture.md 4.6.
void gated_delta_net(const Step& step, const LayerWeights& layer, const ops::View& x,
                     const ops::View& out, const Tap& tap) {
  const GdnWeights& weights = layer.gdn;
  const TextConfig& config = step.config;
  const Workspace::Views& views = step.views;
  const ops::View qkv = step.narrow(views.qkv), z = step.narrow(views.z), b = step.narrow(views.b),
                  a = step.narrow(views.a);
  const std::array products = {ops::Product{weights.qkv.get(), qkv},
                               ops::Product{weights.z.get(), z}, ops::Product{weights.b.get(), b},
                               ops::Product{weights.a.get(), a}};
  multiply(step, x, products);
  tap("gdn.in_proj_qkv", qkv);
  tap("gdn.in_proj_z", z);
  tap("gdn.in_proj_b", b);
  tap("gdn.in_proj_a", a);

  const ops::View conv = step.narrow(views.conv);
  step.backend.gdn_conv({.batch = &step.batch,
                         .raw = qkv,
                         .weight = weights.conv,
                         .state = step.state,
                         .layer = layer.state_layer,
                         .out = conv});
  tap("gdn.conv_out", conv);

  const ops::View query = step.narrow(views.gdn_query), key = step.narrow(views.gdn_key);
  const ops::View beta = step.narrow(views.beta), g = step.narrow(views.g);
  step.backend.gdn_input({.conv = conv,
                          .a = a,
                          .b = b,
                          .decay = weights.decay,
                          .dt_bias = weights.dt_bias,
                          .key_heads = config.gdn_key_heads,
                          .key_dim = config.gdn_key_dim,
                          .query = query,
                          .key = key,
                          .beta = beta,
                          .g = g});
  tap("gdn.q_l2", query);  // times key_dim^-1/2, unlike the goldens' tensor of this name
  tap("gdn.k_l2", key);
  tap("gdn.beta", beta);
  tap("gdn.g", g);

  const ops::View core = step.narrow(views.core), gated = step.narrow(views.gated);
  const int64_t key_width = config.gdn_key_heads * config.gdn_key_dim;
  step.backend.gdn_delta({.batch = &step.batch,
                          .query = query,
                          .key = key,
                          .value = conv.column_range(2 * key_width, core.columns),
                          .beta = beta,
                          .g = g,
                          .state = step.state,
                          .layer = layer.state_layer,
                          .out = core});
  tap("gdn.core_out", core);
  step.backend.gdn_norm(
      {.core = core, .z = z, .weight = weights.norm, .eps = config.rms_eps, .out = gated});
  tap("gdn.core_normed", gated);
  multiply(step, gated, weights.out, out);
}

// architecture.md 4.3.
void mlp(const Step& step, const MlpWeights& weights, const ops::View& x, const ops::View& out,
         const Tap& tap) {
  const ops::View gate = step.narrow(step.views.gate), up = step.narrow(step.views.up);
  const ops::View product = step.narrow(step.views.product);
  const std::array products = {ops::Product{weights.gate.get(), gate},
                               ops::Product{weights.up.get(), up}};
  multiply(step, x, products);
  step.backend.swiglu({.gate = gate, .up = up, .out = product});
  tap("mlp_product", product);
  multiply(step, product, weights.down, out);
}

}  // namespace

void run_layer(const Step& step, const LayerWeights& layer, const ops::View& next_norm,
               const ops::View& out, const Tap& tap) {
  const ops::View hidden = step.narrow(step.views.hidden), normed = step.narrow(step.views.normed);
  const ops::View delta = step.narrow(step.views.delta);
  tap("input_norm", normed);
  if (layer.type == LayerType::kFullAttention) {
    attention(step, layer, normed, delta, tap);
  } else {
    gated_delta_net(step, layer, normed, delta, tap);
  }
  tap("mixer_out", delta);
  step.backend.rms_norm({.x = hidden,
                         .delta = delta,
                         .weight = layer.post_norm,
                         .eps = step.config.rms_eps,
                         .out = normed});
  tap("post_norm", normed);
  mlp(step, layer.mlp, normed, delta, tap);
  tap("mlp_out", delta);
  step.backend.rms_norm(
      {.x = hidden, .delta = delta, .weight = next_norm, .eps = step.config.rms_eps, .out = out});
  tap("residual", hidden);
}

}  // namespace sluice::model
