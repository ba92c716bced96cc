// Names to roles: which stored tensors make up which weight, what each means, what is missing or left over.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "checkpoint/checkpoint.h"
#include "model/config.h"
#include "tensor/matrix.h"

namespace sluice::model {

struct Problem {
  enum class Severity : uint8_t { kNote, kWarning, kError };
  Severity severity = Severity::kNote;
  std::string tensor;  // stored name; may be empty
  std::string message, remedy;
};

enum class Part : uint8_t { kText, kMtp, kVision, kOther };

// One stored tensor as `inspect` shows it.
struct BoundTensor {
  const checkpoint::StoredTensor* stored = nullptr;
  Part part = Part::kOther;
  std::string role;  // "layers.3.attention.query_gate", "layers.3.attention.query_gate scales", "unused", ...
  std::optional<Format> format;  // of the weight it belongs to; nothing for scales and unused tensors
};

// A weight of the model under its role, e.g. "embedding", "head", "final_norm", "layers.N.gdn.in_qkv", "mtp.fc".
// Vectors (norms, A_log, ...) are matrices of one row.
struct BoundWeight {
  std::string role;
  std::string name;  // stored name of its codes
  Part part = Part::kText;
  EncodedMatrix matrix;
};

struct Binding {
  TextConfig config;
  std::vector<BoundWeight> weights;
  std::vector<BoundTensor> tensors;  // every stored tensor, in file order
  std::vector<Problem> problems;     // all of them in one report
  bool runnable = false;             // no error concerns the text model
  bool mtp_present = false, mtp_usable = false;
  bool vision_present = false;
  std::vector<float> key_scales, value_scales;  // stored KV scales per attention layer, then the draft head; empty if none

  const BoundWeight* find(std::string_view role) const;
};

// Never fails for a missing or damaged tensor: that is a problem in the report. Fails only when there is no usable config.
Result<Binding> bind(const checkpoint::Checkpoint& checkpoint);

// The report as one error (for run, generate, ...), if not runnable.
Status require_runnable(const Binding& binding, const std::string& model);

}  // namespace sluice::model
