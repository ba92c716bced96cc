// The views of a Workspace. Internal to src/model.
#pragma once

#include <memory>

#include "model/text/text_model.h"

namespace sluice::model {

// Each is dense, [max_rows, width]. Mixer, MLP and the draft head's input take turns in the same
// memory.
struct Workspace::Views {
  int64_t max_rows = 0, max_logit_rows = 0;
  std::unique_ptr<ops::DeviceBuffer> buffer;

  ops::View hidden;  // residual stream, H
  ops::View normed;  // input of the mixer or of the MLP, H
  ops::View delta;   // output of the mixer or of the MLP, before it is added, H
  ops::View final;   // h_final, H
  ops::View m;       // output of the draft head, H

  // Gated delta net. `gated` lies where `qkv` was: the raw channels are done with once convolved.
  ops::View qkv, z, b, a, conv, gdn_query, gdn_key, beta, g, core, gated;
  // Attention. A trace's copy of the normed queries lies in `heads` before that is computed.
  ops::View query_gate, key, value, query, heads, key_normed;
  ops::View gate, up, product;  // MLP
  ops::View fc_in;              // draft head, 2H: embedding, then hidden

  ops::View logit_rows, logits;  // [max_logit_rows, H] and [max_logit_rows, V]
};

}  // namespace sluice::model
