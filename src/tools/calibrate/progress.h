// The state of a calibration on disk, so that a run that was killed goes on where it was.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tools/calibrate/inputs.h"

namespace sluice::calibrate {

struct Progress {
  uint64_t windows = 0;  // read so far
  Statistics statistics;
};

// One number for the texts of all windows, where each begins and ends included (FNV-1a, 64 bit): to
// tell runs apart, not to withstand an attack.
uint64_t text_identity(std::span<const std::span<const int32_t>> windows);

// A safetensors file: `identity` and the count of windows as metadata, and per input an F64 vector
// of rows, largest magnitude and sums of squares, so that nothing is rounded. Replaces what is
// there.
Status save_progress(const std::filesystem::path& file, const std::string& identity,
                     const Progress& progress);

// Nothing if there is no such file. Errors: of another run (kUsage), damaged (kBadInput). `empty`
// says what the statistics of this run hold.
Result<std::optional<Progress>> load_progress(const std::filesystem::path& file,
                                              const std::string& identity, const Statistics& empty);
// The same from bytes.
Result<Progress> parse_progress(std::span<const std::byte> bytes, std::string_view file,
                                const std::string& identity, const Statistics& empty);

}  // namespace sluice::calibrate
