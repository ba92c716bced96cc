// One decoder layer: its weights in the backend, and its forward pass. The draft head's layer is
// one as well. Internal to src/model.
#pragma once

#include <memory>
#include <string>

#include "model/config.h"
#include "model/text/workspace.h"
#include "model/trace.h"
#include "ops/backend.h"

namespace sluice::model {

using MatrixPointer = std::unique_ptr<ops::Matrix>;

struct AttentionWeights {
  MatrixPointer query_gate, key, value, out;
  ops::View query_norm, key_norm;
};

struct GdnWeights {
  MatrixPointer qkv, z, b, a, out;
  ops::View conv, decay, dt_bias, norm;
};

struct MlpWeights {
  MatrixPointer gate, up, down;
};

struct LayerWeights {
  LayerType type = LayerType::kLinearAttention;
  int64_t state_layer =
      0;  // index among the layers of its type: in the KV cache or the recurrent state
  ops::View input_norm, post_norm;
  AttentionWeights attention;  // of the type that the layer is
  GdnWeights gdn;
  MlpWeights mlp;
};

// Names what a trace records; does nothing without a sink.
class Tap {
 public:
  Tap(TraceSink* sink, std::string prefix) : sink_(sink), prefix_(std::move(prefix)) {}
  bool on() const { return sink_ != nullptr; }
  void operator()(const char* name, const ops::View& value) const {
    if (sink_ != nullptr) sink_->record(prefix_ + name, value);
  }

 private:
  TraceSink* sink_;
  std::string prefix_;
};

// What all layers of one forward pass share. The views are narrowed to the batch's rows.
struct Step {
  ops::Backend& backend;
  const TextConfig& config;
  const ops::Batch& batch;
  ops::KvCache* cache = nullptr;
  ops::RecurrentState* state = nullptr;
  Workspace::Views& views;
  int64_t rows = 0, answer_rows = 0;
  int64_t first_index = 0;  // first cache index that attention sees

  ops::View narrow(const ops::View& view) const { return view.first_rows(rows); }
};

// On entry views.normed holds RMS1(hidden; input_norm). Updates the residual stream, and computes
// the next norm of it (the next layer's, or the final one) into `out`: additions are fused with the
// norm that follows.
void run_layer(const Step& step, const LayerWeights& layer, const ops::View& next_norm,
               const ops::View& out, const Tap& tap);

}  // namespace sluice::model
