// What a step costs at least: the bytes that it has to read and the products that it has to make,
// counted from the model; and with a machine's speed, the least time for them.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "model/binding.h"
#include "ops/backend.h"
#include "tools/bench/machine_floor.h"

namespace sluice::tools {

// A part of the model that is read as a whole, once a step, and multiplied with each of its rows.
struct PartCounts {
  uint64_t bytes = 0;    // as the backend keeps the weights; vectors as F32
  int64_t integer = 0;   // products a row with weights of integer codes,
  int64_t floating = 0;  // and of floating-point codes
  PartCounts& operator+=(const PartCounts& other);
};

struct ModelCounts {
  PartCounts layers, head;       // of the text model; the final norm among the layers
  PartCounts draft, draft_head;  // of one pass of the draft head; zero without one
  std::map<std::string, uint64_t> bytes_by_format;  // matrices of a step of the text model

  uint64_t kv_bytes = 0, draft_kv_bytes = 0;  // keys and values of one token
  uint64_t state_bytes = 0;                   // of one sequence: delta rule and convolution
  uint64_t pending_bytes = 0;                 // of one row that waits to be committed
  // fp32 products: of a row with one token of its context, all attention layers (queries with keys,
  // weights with values); and of a row with its recurrent state: what it recalls, the update, and
  // what is read from it (architecture.md 4.6), and the convolution.
  int64_t attention_products = 0, draft_attention_products = 0;
  int64_t state_products = 0;
};

// `kv`: format of keys and values.
ModelCounts count_model(const model::Binding& binding, const ops::Backend& backend,
                        ops::KvFormat kv);

struct StepCost {
  uint64_t read_bytes = 0;            // weights, keys and values
  uint64_t update_bytes = 0;          // recurrent state, both directions
  int64_t integer = 0, floating = 0;  // products
};

// A step of `sequences` answers, each with its next token and `drafts` drafts to verify, behind
// `context` tokens; with drafts, also as many passes of the draft head, of one row each, with a
// share of the output head's rows.
StepCost answer_cost(const ModelCounts& counts, int64_t sequences, int64_t drafts, int64_t context,
                     double draft_head_share = 1);

// A prompt of `length` tokens read from its beginning, `rows` at a time, and its first token.
StepCost prompt_cost(const ModelCounts& counts, int64_t length, int64_t rows);

// Seconds: memory and arithmetic at the same time, whichever takes longer. A product of integer
// codes costs one int8 product in the digit modes, and two, or one of int16, in the wide one.
double floor_seconds(const StepCost& cost, const MachineSpeed& speed, ops::ActivationMode mode);

}  // namespace sluice::tools
