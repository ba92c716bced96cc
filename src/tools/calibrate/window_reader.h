// Reads windows of text through a model for the sake of what a trace sees.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "model/text/text_model.h"

namespace sluice::calibrate {

class WindowReader {
 public:
  // Windows of at most `context` tokens. The model is borrowed; its draft head is read as well if
  // it was loaded.
  static Result<std::unique_ptr<WindowReader>> create(const model::TextModel& model,
                                                      int64_t context, ops::KvFormat kv);

  // One window from an empty state, by the prompt's rule. The draft head runs over the window's own
  // text: slot p with token p + 1, so the last token has no slot.
  void read(std::span<const int32_t> window, model::TraceSink& trace);

 private:
  explicit WindowReader(const model::TextModel& model) : model_(model) {}
  const model::TextModel& model_;
  std::unique_ptr<ops::KvCache> cache_;
  std::unique_ptr<ops::RecurrentState> recurrent_;
  std::unique_ptr<model::Workspace> workspace_;
  std::vector<int32_t> pages_;
};

}  // namespace sluice::calibrate
