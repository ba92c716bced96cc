// The tensors of a safetensors build, one at a time: plain copies, codes, and the scales that
// belong to them.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/threads.h"
#include "tools/convert/row_stream.h"
#include "tools/convert/source.h"
#include "tools/quantize/compensated_rounding.h"
#include "tools/quantize/fp8_rows.h"
#include "tools/quantize/safetensors_build.h"

namespace sluice::quantize {

// Makes a weight's planes in the plan's order, codes before scales, so that one pass over a weight
// gives both. Scales are small: they are kept until both are written. Of an interrupted build the
// codes may be there already; the scales are then found again. Borrows its arguments.
class Planes {
 public:
  using OutputError = TensorReport::OutputError;

  Planes(const convert::Source& source, const SafetensorsRequest& request,
         const SafetensorsPlan& plan, ThreadPool& pool);

  // Of rounding with compensation: says which factors will be asked for, given the tensors in the
  // order of writing of which the first `kept` are there.
  Status expect_factors(std::span<const PlannedTensor* const> order, size_t kept);

  // The tensor's bytes, all handed over when this returns.
  Status write(const PlannedTensor& tensor, const convert::Output& out);
  // It is there: from write(), or from an earlier run with the errors that were measured then.
  void written(const PlannedTensor& tensor);
  void kept(const PlannedTensor& tensor, const convert::ErrorSum& error,
            const std::optional<OutputError>& output_error);

  // Of planes that stand for a weight in the report, written or kept.
  static bool has_error(const PlannedTensor& tensor) {
    return tensor.kind == PlaneKind::kPlain || tensor.kind == PlaneKind::kCodes;
  }
  convert::ErrorSum error(const PlannedTensor& tensor) const { return errors_.at(tensor.weight); }
  std::optional<OutputError> output_error(const PlannedTensor& tensor) const;

 private:
  using Bytes = std::vector<std::byte>;
  // Codes of rows from `first` on, and the error and norm of each. Refuses what is not finite.
  using EncodeRows = std::function<Status(int64_t first, std::span<const float> values,
                                          uint8_t* codes, std::span<convert::ErrorSum> sums)>;

  Status write_vision(const PlannedTensor& tensor, const convert::Output& out);
  Status write_scales(const PlannedTensor& tensor, const convert::Output& out);
  Status write_tensor_scale(const PlannedTensor& tensor, const convert::Output& out);
  Status write_input_scale(const PlannedTensor& tensor, const convert::Output& out);
  Status write_fp8_codes(const convert::RowReader& reader, const PlannedTensor& tensor,
                         const convert::Output& out);
  Status find_scales(const convert::RowReader& reader, const PlannedTensor& tensor);
  Fp8Parts parts_of(const convert::RowReader& reader, const PlannedTensor& tensor) const;
  Result<float> divisor_of(const PlannedTensor& tensor);
  Status write_nvfp4_codes(const convert::RowReader& reader, const PlannedTensor& tensor,
                           const convert::Output& out);
  Status write_compensated(const convert::RowReader& reader, const PlannedTensor& tensor,
                           const Lattice& lattice, std::span<uint8_t> scales, int64_t row_bytes,
                           const convert::Output& out);
  Status write_codes(const convert::RowReader& reader, const PlannedTensor& tensor, int64_t grain,
                     int64_t row_bytes, const EncodeRows& encode, const convert::Output& out);

  const convert::Source& source_;
  const SafetensorsRequest& request_;
  ThreadPool& pool_;
  std::map<const convert::SourceWeight*, const PlannedTensor*> scale_of_, codes_of_;
  std::map<const convert::SourceWeight*, Bytes> scales_;
  std::set<const convert::SourceWeight*> half_written_;  // codes or scales
  std::map<const convert::SourceWeight*, convert::ErrorSum> errors_;
  std::map<const convert::SourceWeight*, OutputError> output_errors_;
  std::map<std::string, float> divisors_;  // by the first module of the fused group
};

}  // namespace sluice::quantize
