// What a weight would read back as in some format, without a file: for choosing formats.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/threads.h"
#include "tensor/matrix.h"
#include "tools/convert/source.h"
#include "tools/quantize/nvfp4_search.h"

namespace sluice::quantize {

// A ggml type or a safetensors format; BF16 and F32 stand for "as it is".
using TrialFormat = std::variant<DType, Format>;
std::string trial_name(const TrialFormat& format);

struct TrialSettings {
  std::vector<float> importance;  // per column in the source's order; empty: all alike
  float divisor = 1;              // NVFP4: of the fused group
  ScaleSearch search = ScaleSearch::kSweep;
};

// Values of whole rows as they read back. FP8 tiles need rows in multiples of 128 from the tile's
// first one, but for a last tile that is lower. FP8 rows have the plain scale, not the searched.
Result<std::vector<float>> trial_rows(std::span<const float> values, int64_t columns,
                                      const TrialFormat& format, const TrialSettings& settings,
                                      const std::string& name);

// Sum over the matrix of importance (scaled to a mean of 1) times squared error, from two bands of
// 32 rows (128 where a format has tiles): within one matrix the error of a format varies little
// from row to row.
Result<double> trial_error(const convert::RowReader& reader, const TrialFormat& format,
                           const TrialSettings& settings);

// The whole matrix, read back and rounded to BF16: finer than any format it stands for by a factor
// that does not show in an estimate.
struct TrialMatrix {
  std::vector<uint16_t> values;
  EncodedMatrix matrix;  // borrows the values
};
// Format and shape of such a matrix, without bytes.
EncodedMatrix trial_shape(int64_t rows, int64_t columns);
Result<std::unique_ptr<TrialMatrix>> trial_matrix(const convert::RowReader& reader,
                                                  const TrialFormat& format,
                                                  const TrialSettings& settings, ThreadPool& pool);

// Largest magnitude of the whole matrix.
Result<float> largest_magnitude(const convert::RowReader& reader, ThreadPool& pool);

}  // namespace sluice::quantize
