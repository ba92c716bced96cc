// Runs a prompt through a model and keeps what it computes: logits, hidden vectors, draft-head
// logits, and every intermediate under the names of ../shared/goldens. The door through which
// parity is checked from outside.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/text/text_model.h"

namespace sluice::tools {

struct ProbeOptions {
  std::vector<int32_t> ids;
  std::vector<int64_t> positions;  // rows whose logits are wanted, ascending
  int64_t chunk =
      0;  // 0: whole; 1: token by token by the answer's rule; N: pieces of N by the prompt's
  int64_t first_position = 0;  // rotary position of the first token
  bool hidden = false;         // h_final of every position
  bool mtp = false;    // draft-head logits of slots 0 .. n - 2 (slot p fed with token p + 1)
  bool trace = false;  // every intermediate and the final states
  ops::KvFormat kv = ops::KvFormat::kF32;
};

struct NamedTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<float> values;
};

struct ProbeResult {
  std::vector<float> logits;         // [positions, vocabulary]
  std::vector<NamedTensor> tensors;  // "hidden", "mtp_logits", traces; in order of first appearance
};

// Most rows that one step of a probe takes.
inline constexpr int64_t kProbeRows = 512;

Result<ProbeResult> run_probe(const model::TextModel& model, const ProbeOptions& options);

}  // namespace sluice::tools
