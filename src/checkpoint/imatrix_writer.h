// Writes importance matrices in both forms that llama.cpp's tools read (spec/formats-gguf.md
// section 7).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace sluice::checkpoint {

// What was gathered for one weight matrix.
struct ImportanceSums {
  std::string tensor;           // GGUF name of the weight
  std::vector<double> squares;  // sum of x^2 per input column, in the order of GGUF files
  uint64_t rows = 0;            // summed over so many rows
};

struct ImportanceRecord {
  std::vector<ImportanceSums> entries;  // any order; those without rows are left out
  std::string dataset;                  // name of the text
  uint32_t chunks = 0, chunk_size = 0;  // windows read, tokens of a window
};

enum class ImportanceForm : uint8_t { kGguf, kLegacy };

// Entries are sorted by name, sums rounded once to F32. The legacy form has no row counts: it
// stores means times the number of chunks that the rows make up, rounded up. Errors: nothing in it,
// a name too long for the form, a file that exists without `overwrite`.
Status write_importance(const std::filesystem::path& file, ImportanceForm form,
                        ImportanceRecord record, bool overwrite);

}  // namespace sluice::checkpoint
