// What config.json (and ModelOpt's hf_quant_config.json) say of a quantized build: one table of
// modules and formats, written in each ecosystem's words (formats-safetensors.md 3.2, 3.3, 3.8).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "tools/quantize/scheme.h"

namespace sluice::quantize {

struct ModuleFormat {
  std::string module;  // as published: "model.language_model.layers.0.mlp.up_proj"
  Format format = Format::kBF16;
  bool linear = true;  // else a module that some lists name as well: the embedding, a convolution
};

struct QuantizationFacts {
  Layout layout = Layout::kOfficial;
  std::vector<ModuleFormat> modules;        // of the text model and of the draft head
  std::vector<std::string> vision_modules;  // linears of the tower, all left as they are
  bool draft = false;                       // the draft head is in the build
  bool draft_quantized = false;             // and its layer's linears are quantized
  bool cache_scales = false;                // scales for keys and values in FP8 are in the build
};

struct QuantizationFiles {
  std::optional<Json> config;           // quantization_config of config.json
  std::optional<Json> hf_quant_config;  // ModelOpt only
};
QuantizationFiles quantization_files(const QuantizationFacts& facts);

}  // namespace sluice::quantize
