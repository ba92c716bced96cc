// Largest magnitude that each matrix's input, and each layer's keys and values, reached over a
// calibration text: what static activation scales are made from.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::quantize {

class ActivationRanges {
 public:
  // {"ranges": {"layers.0.mlp.up_proj": 12.5, ...}, "keys_values": {"layers.3.self_attn":
  // {"key": 9.5, "value": 3.25}, ...}}: numbers from 1e-30 to 1e30, whose scales and their
  // reciprocals are normal numbers as well. "keys_values" may be missing.
  static Result<ActivationRanges> open(const std::filesystem::path& file);
  // The same from text; `file` is named in errors.
  static Result<ActivationRanges> parse(std::string_view text, std::string_view file);

  void set(const std::string& module, float amax) { by_module_[module] = amax; }
  std::optional<float> find(const std::string& canonical_module) const;

  // What an attention layer keeps in its cache: keys after rotation, values.
  struct KeyValue {
    float key = 0, value = 0;
    friend bool operator==(const KeyValue&, const KeyValue&) = default;
  };
  void set_key_value(const std::string& attention, KeyValue amax) { cached_[attention] = amax; }
  std::optional<KeyValue> find_key_value(const std::string& attention) const;

  // A magnitude that the file can hold. A calibration leaves out what it cannot: nothing can be
  // said of an input that was always zero.
  static bool valid(float amax) { return amax >= 1e-30f && amax <= 1e30f; }

  std::string text() const;
  Status write(const std::filesystem::path& file, bool overwrite) const;

  friend bool operator==(const ActivationRanges&, const ActivationRanges&) = default;

 private:
  std::map<std::string, float> by_module_;
  std::map<std::string, KeyValue> cached_;
};

}  // namespace sluice::quantize
