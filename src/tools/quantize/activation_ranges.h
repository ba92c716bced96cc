// Largest magnitude that each matrix's input reached over a calibration text: what static
// activation scales are made from.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "base/result.h"

namespace sluice::quantize {

class ActivationRanges {
 public:
  // {"ranges": {"layers.0.mlp.up_proj": 12.5, ...}}; finite positive numbers.
  static Result<ActivationRanges> open(const std::filesystem::path& file);

  void set(const std::string& module, float amax) { by_module_[module] = amax; }
  std::optional<float> find(const std::string& canonical_module) const;
  Status write(const std::filesystem::path& file, bool overwrite) const;

 private:
  std::map<std::string, float> by_module_;
};

}  // namespace sluice::quantize
