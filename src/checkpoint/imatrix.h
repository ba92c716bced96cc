// Importance matrices: the mean square of each input column of each weight matrix, as llama.cpp's
// tools write them (spec/formats-gguf.md section 7). Both file forms give the same values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace sluice::checkpoint {

struct ImportanceEntry {
  std::string tensor;         // GGUF name of the weight, "blk.0.ffn_up.weight"
  std::vector<float> values;  // mean of x^2 per input column (one after another for several
                              // matrices); finite, >= 0
};

class ImportanceMatrix {
 public:
  // A legacy .dat or a GGUF of type imatrix, told apart by the first bytes.
  static Result<ImportanceMatrix> open(const std::filesystem::path& path);
  // The same from bytes; `file` is named in errors.
  static Result<ImportanceMatrix> parse(std::span<const std::byte> bytes, std::string_view file);

  const std::vector<ImportanceEntry>& entries() const { return entries_; }
  // By exact name; nullptr if the tool collected nothing for it (never for the embedding and the
  // draft head).
  const ImportanceEntry* find(std::string_view tensor) const;

  const std::vector<std::string>& datasets() const {
    return datasets_;
  }                                            // what the tool noted; may be empty
  uint64_t chunks() const { return chunks_; }  // 0: not noted

 private:
  static Result<ImportanceMatrix> parse_legacy(std::span<const std::byte> bytes,
                                               std::string_view file);
  static Result<ImportanceMatrix> parse_gguf_form(std::span<const std::byte> bytes,
                                                  std::string_view file);
  Status add(ImportanceEntry entry, std::string_view file);

  std::vector<ImportanceEntry> entries_;
  std::unordered_map<std::string, size_t> by_name_;
  std::vector<std::string> datasets_;
  uint64_t chunks_ = 0;
};

}  // namespace sluice::checkpoint
