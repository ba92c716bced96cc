// What lies beside copied weights: the source's configs, which go on describing the same bytes, cut
// to the parts that are left.
#pragma once

#include <filesystem>

#include "base/json.h"
#include "base/result.h"
#include "tools/convert/source.h"

namespace sluice::quantize {

struct CopiedParts {
  bool draft = false, vision = false;  // in the result
  bool renamed = false;                // tensors have lost "language_model." from their names
  bool grafted = false;                // the head came from elsewhere, unquantized
};

// A quantization config (or hf_quant_config.json) for the result: module names as the tensors are
// called now, and a grafted head on the list of what is left alone.
Json copied_quantization(const Json& config, const CopiedParts& parts);

Status write_copied_files(const convert::Source& source, const CopiedParts& parts,
                          const std::filesystem::path& folder);

}  // namespace sluice::quantize
