// A text that is read through a model for the sake of its activations: plain, or a document a line.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/session.h"

namespace sluice::cli {

// The windows that are read, and the tokens that they borrow.
struct CalibrationText {
  std::vector<std::vector<int32_t>> tokens;  // by document
  std::vector<std::span<const int32_t>> windows;

  uint64_t window_tokens() const;
  // Keeps whole windows, and the beginning of one more, up to so many tokens.
  void cut_to(uint64_t tokens);
};

// What happens to a last window that a plain text does not fill.
enum class TextRest : uint8_t { kLeftOut, kRead };

// Windows of `context` tokens. A document that is one of many (*.jsonl: {"messages": [...]},
// {"text": "..."} or {"ids": [...]} a line) is read to its end. Errors name the file, and the line
// where there are lines.
Result<CalibrationText> read_calibration_text(const std::string& file, const ModelFiles& files,
                                              int64_t vocabulary, int64_t context, TextRest rest);

}  // namespace sluice::cli
