// Names to roles: which stored tensors make up which weight, what each means, what is missing or
// left over.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "checkpoint/checkpoint.h"
#include "model/config.h"
#include "model/problem.h"
#include "tensor/matrix.h"

namespace sluice::model {

enum class Part : uint8_t { kText, kMtp, kVision, kOther };

// What load() does to a vector's values, in F32, before the backend sees them. Follows from the
// container (architecture.md section 8), never from the values.
enum class Transform : uint8_t {
  kNone,
  kAddOne,    // zero-centred norms of HF files: 1 + w
  kMinusExp,  // A_log of HF files: -exp(A_log)
};

// One stored tensor as `inspect` shows it.
struct BoundTensor {
  const checkpoint::StoredTensor* stored = nullptr;
  Part part = Part::kOther;
  std::string role;  // "layers.3.attention.query_gate", "layers.3.attention.query_gate scales",
                     // "unused", ...
  std::optional<Format>
      format;  // of the weight it belongs to; nothing for scales and unused tensors
};

// A weight of the model under its role, e.g. "embedding", "head", "final_norm",
// "layers.N.gdn.in_qkv", "mtp.fc". Vectors (norms, A_log, ...) are matrices of one row; the
// convolution is [channels, kernel].
struct BoundWeight {
  std::string role;
  std::string name;  // stored name of its codes
  Part part = Part::kText;
  EncodedMatrix matrix;
  bool vector = false;  // small, taken in as F32 after `transform`
  Transform transform = Transform::kNone;
  std::vector<const checkpoint::StoredTensor*> stored;  // its tensors, codes first
};

struct Binding {
  TextConfig config;
  std::vector<BoundWeight> weights;  // in the order of a forward pass
  std::vector<BoundTensor> tensors;  // every stored tensor, in file order
  std::vector<Problem> problems;     // all of them in one report
  bool runnable = false;             // no error concerns the text model
  bool mtp_present = false, mtp_usable = false;
  bool vision_present = false;
  bool fp8_kv_announced = false;  // the build's recipe keeps keys and values in FP8
  // Stored KV scales, multiplied on read: one per attention layer in order, then one for the draft
  // head if it is present; empty if the file has none.
  std::vector<float> key_scales, value_scales;

  const BoundWeight* find(std::string_view role) const;
};

// Never fails for a missing or damaged tensor: that is a problem in the report. Fails only when
// there is no usable config. Reads all scales of safetensors formats and all plain vectors (rules
// ), no codes.
Result<Binding> bind(const checkpoint::Checkpoint& checkpoint);

// The report as one error (for run, generate, ...), if not runnable.
Status require_runnable(const Binding& binding, const std::string& model);

}  // namespace sluice::model
