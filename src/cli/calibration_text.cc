#include "cli/calibration_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "cli/prompt_input.h"
#include "tools/eval/perplexity.h"

namespace sluice::cli {
namespace {

constexpr uint64_t kMaxTextBytes = uint64_t{1} << 30;

Result<std::vector<std::vector<int32_t>>> read_documents(const std::string& file,
                                                         const ModelFiles& files,
                                                         int64_t vocabulary) {
  SLUICE_ASSIGN(const auto lines, read_json_lines(file));
  std::vector<std::vector<int32_t>> documents;
  for (const JsonLine& line : lines) {
    if (!line.value.ok()) return line.value.error();
    const bool conversation = line.value->is_object() && line.value->find("messages") != nullptr;
    auto tokens = conversation ? encode_messages(*line.value, files, false)
                               : tokens_of_request(*line.value, files, vocabulary);
    if (!tokens.ok()) {
      Error error = std::move(tokens).error();
      error.what = fmt::format("{} line {}: {}", file, line.number, error.what);
      return error;
    }
    documents.push_back(std::move(*tokens));
  }
  return documents;
}

}  // namespace

uint64_t CalibrationText::window_tokens() const {
  uint64_t total = 0;
  for (const auto& window : windows) total += window.size();
  return total;
}

void CalibrationText::cut_to(uint64_t limit) {
  uint64_t left = limit;
  size_t kept = 0;
  while (kept < windows.size() && left > 0) {
    windows[kept] = windows[kept].first(std::min<uint64_t>(left, windows[kept].size()));
    left -= windows[kept++].size();
  }
  windows.resize(kept);
}

Result<CalibrationText> read_calibration_text(const std::string& file, const ModelFiles& files,
                                              int64_t vocabulary, int64_t context, TextRest rest) {
  CalibrationText text;
  const bool lines = std::filesystem::path(file).extension() == ".jsonl";
  if (lines) {
    SLUICE_ASSIGN(text.tokens, read_documents(file, files, vocabulary));
  } else {
    SLUICE_ASSIGN(const std::string content, read_file(file, kMaxTextBytes));
    SLUICE_ASSIGN(auto tokens, encode_text(content, files));
    text.tokens.push_back(std::move(tokens));
  }
  const auto rows =
      lines || rest == TextRest::kRead ? tools::ScoredRows::kAll : tools::ScoredRows::kSecondHalf;
  for (const std::vector<int32_t>& document : text.tokens) {
    if (document.size() < 2 && rows == tools::ScoredRows::kAll)
      continue;  // the draft head has nothing to read in it
    SLUICE_ASSIGN(const auto plan, tools::cut_windows(document, context, rows));
    text.windows.insert(text.windows.end(), plan.windows.begin(), plan.windows.end());
  }
  if (text.windows.empty()) return usage_error(file, "holds no text");
  return text;
}

}  // namespace sluice::cli
