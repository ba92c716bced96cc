// Which type each tensor of a GGUF gets: the rules of llama.cpp's quantizer (formats-gguf.md 5).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "tensor/dtype.h"

namespace sluice::quantize {

// A file type by its name ("q4_k_m", any case).
struct Mixture {
  std::string_view name;
  DType base = DType::kF32;  // of most matrices
  uint64_t file_type = 0;    // general.file_type
  // What the larger types of some tensors depend on.
  enum class Rule : uint8_t { kUniform, kMedium, kSmall, kThreeMedium, kNonlinear, kLegacy };
  Rule rule = Rule::kUniform;
};
const std::vector<Mixture>& mixtures();
const Mixture* find_mixture(std::string_view name);

struct MixtureOptions {
  // Before March 2026, and in ik_llama.cpp still: attn_qkv is a class of its own, and only the
  // attention layers count for attn_v.
  bool older_rule = false;
  bool importance = false;  // an importance matrix is used
};

// Chooses the types of one file. `blocks` counts the draft head's block if it is in the file.
class MixtureRule {
 public:
  MixtureRule(const Mixture& mixture, MixtureOptions options, const model::TextConfig& config,
              int64_t blocks);
  // `name` is the tensor's in the file ("blk.0.ffn_up.weight"); shape outermost first.
  DType type(std::string_view name, const std::vector<int64_t>& shape) const;

 private:
  DType mixed(std::string_view stem, int64_t block) const;
  bool more(int64_t i) const;
  int64_t attention_before(int64_t block) const;

  Mixture mixture_;
  MixtureOptions options_;
  const model::TextConfig& config_;
  int64_t blocks_;
};

// `type`, or what llama.cpp takes instead for rows that are not whole blocks of it (5.3).
DType type_for_columns(DType type, int64_t columns);

// F32 whatever the file type: vectors, norms, the convolution, side tensors (5.1).
bool stays_f32(std::string_view name, size_t rank);

}  // namespace sluice::quantize
