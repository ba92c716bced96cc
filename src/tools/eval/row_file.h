// Rows of values in a file without a name: what one model said, kept for another that is loaded
// after it, where memory holds one of the two.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "base/result.h"

namespace sluice::tools {

class RowFile {
 public:
  // `rows` of `width` values, on the disk of `folder`. The file has no name from its first byte on,
  // so that nothing is left however the process ends. Errors: no room for all rows (kDoesNotFit), a
  // folder that cannot be written.
  static Result<RowFile> create(const std::filesystem::path& folder, uint64_t rows, int64_t width);
  RowFile(RowFile&& other) noexcept;
  RowFile& operator=(RowFile&& other) noexcept;
  ~RowFile();

  static uint64_t bytes(uint64_t rows, int64_t width) {
    return rows * static_cast<uint64_t>(width) * sizeof(float);
  }

  // Whole rows, behind those that are there.
  Status append(std::span<const float> values);
  // Whole rows from `row` on; they must be there. The bits that were written.
  Status read(uint64_t row, std::span<float> values) const;
  uint64_t rows() const { return rows_; }

 private:
  RowFile() = default;
  std::filesystem::path folder_;  // for errors
  int descriptor_ = -1;
  uint64_t rows_ = 0, row_bytes_ = 0;
};

}  // namespace sluice::tools
