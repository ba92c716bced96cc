// What the JSON files say about each module's storage: config.json's quantization_config (fp8,
// compressed-tensors, ModelOpt) and ModelOpt's hf_quant_config.json. The stored tensors decide the
// layout; this is what they are checked against, and the only source for what happens to
// activations (formats-safetensors.md 2, 3).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "checkpoint/checkpoint.h"
#include "model/module_pattern.h"
#include "model/problem.h"
#include "tensor/format.h"

namespace sluice::model {

// Kinds of storage that configs tell apart. kNvfp4 covers every activation recipe over e2m1 with
// scales per 16.
enum class StoredScheme : uint8_t {
  kUnquantized,
  kFp8Block,
  kFp8Channel,
  kFp8Tensor,
  kNvfp4,
  kW4A8Nvfp4,
  kInteger,
  kMxfp4,
  kMxfp8
};
std::string_view stored_scheme_name(StoredScheme scheme);

struct ModuleScheme {
  StoredScheme weights = StoredScheme::kUnquantized;
  ActivationScheme activations = ActivationScheme::kNone;
  bool input_scale_optional = false;  // ModelOpt's MX recipes calibrate, or do not
  int bits = 0;                       // of integers
  int64_t group = 0;  // columns under one scale, as stated; 0 if the config does not say
  int64_t block_rows = 0, block_columns = 0;  // of kFp8Block
  std::string origin;                         // for messages: file and group or algorithm

  bool same_meaning(const ModuleScheme& other) const {
    return weights == other.weights && activations == other.activations;
  }
};

class QuantizationConfig {
 public:
  // Unsupported or unknown values become problems (rules ); reading goes on with what is
  // understood. Fails only for a damaged JSON file.
  static Result<QuantizationConfig> read(const checkpoint::Checkpoint& checkpoint,
                                         std::vector<Problem>& problems);

  bool present() const { return !sources_.empty(); }

  // One entry per JSON source that speaks of quantization (ModelOpt writes two), kUnquantized where
  // the source leaves the module alone. Problems only for patterns that cannot be matched.
  std::vector<ModuleScheme> announced(const ModuleName& module,
                                      std::vector<Problem>& problems) const;

  bool fp8_kv_cache() const { return fp8_kv_cache_; }

 private:
  struct Target {
    ModulePattern pattern;
    size_t scheme = 0;  // index into Source::schemes
  };
  struct Source {
    std::string file;
    std::vector<ModuleScheme> schemes;
    std::vector<Target> targets;         // strongest match wins, then the first
    std::vector<ModulePattern> ignored;  // any match wins over targets
    bool all_linears = false;            // schemes[0] holds for every Linear that is not ignored
  };

  friend class QuantizationReader;
  std::vector<Source> sources_;
  bool fp8_kv_cache_ = false;
};

}  // namespace sluice::model
