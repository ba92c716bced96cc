// A file of next-token distributions, 16 bit per token of the vocabulary
// (docs/formats/distributions.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace sluice::tools {

struct DistributionHeader {
  uint32_t vocabulary = 0;
  uint32_t context = 0;         // window length
  uint32_t first_scored = 0;    // first scored row of each window
  std::vector<int32_t> tokens;  // of all windows, in order
};

class DistributionWriter {
 public:
  static Result<DistributionWriter> create(const std::filesystem::path& path,
                                           const DistributionHeader& header, bool overwrite);
  // Log-probabilities of one row (natural logarithm).
  Status add(std::span<const float> log_probabilities);
  Status commit() { return file_.commit(); }

 private:
  explicit DistributionWriter(FileWriter file) : file_(std::move(file)) {}
  FileWriter file_;
  std::vector<std::byte> row_;
};

class DistributionReader {
 public:
  static Result<DistributionReader> open(const std::filesystem::path& path);
  static bool recognises(
      const std::filesystem::path& path);  // a regular file with this format's magic

  const DistributionHeader& header() const { return header_; }
  uint64_t rows() const { return rows_; }
  void read(uint64_t row, std::span<float> log_probabilities) const;

 private:
  MappedFile file_;
  DistributionHeader header_;
  uint64_t first_row_offset_ = 0, rows_ = 0;
};

}  // namespace sluice::tools
