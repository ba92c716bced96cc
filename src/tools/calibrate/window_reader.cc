#include "tools/calibrate/window_reader.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "model/mtp/mtp_head.h"

namespace sluice::calibrate {
namespace {

// Rows of a step: a multiple of the grid of 64, on which the prompt's rule gives the same bits
// however a text is cut.
constexpr int64_t kRows = 512;

}  // namespace

Result<std::unique_ptr<WindowReader>> WindowReader::create(const model::TextModel& model,
                                                           int64_t context, ops::KvFormat kv) {
  std::unique_ptr<WindowReader> reader(new WindowReader(model));
  ops::Backend& backend = model.backend();
  reader->pages_.resize(static_cast<size_t>((context + ops::kGrid - 1) / ops::kGrid));
  std::iota(reader->pages_.begin(), reader->pages_.end(), 0);
  const auto pages = static_cast<int64_t>(reader->pages_.size());
  SLUICE_ASSIGN(reader->cache_, backend.create_kv_cache(model.kv_spec(pages, kv)));
  SLUICE_ASSIGN(reader->recurrent_, backend.create_recurrent_state(model.recurrent_spec(1, 1)));
  // No logits are wanted; the workspace holds at least one row of them.
  SLUICE_ASSIGN(reader->workspace_,
                model::Workspace::create(model.config(), backend, std::min(context, kRows), 1));
  return reader;
}

ops::Batch WindowReader::batch(std::span<const int32_t> window, int64_t begin, int64_t end,
                               int64_t shift) const {
  ops::Batch out;
  out.pages = pages_;
  ops::Segment segment;
  segment.row_count = static_cast<int32_t>(end - begin);
  segment.first_index = static_cast<int32_t>(begin + shift);
  segment.role = ops::Role::kPrompt;
  segment.page_count = static_cast<int32_t>(pages_.size());
  out.segments.push_back(segment);
  for (int64_t i = begin; i < end; ++i) {
    const auto position = static_cast<int32_t>(i);
    out.rows.push_back({window[static_cast<size_t>(i + shift)],
                        0,
                        static_cast<int32_t>(i + shift),
                        {position, position, position}});
  }
  return out;
}

void WindowReader::read(std::span<const int32_t> window, model::TraceSink& trace) {
  const auto length = static_cast<int64_t>(window.size());
  SLUICE_CHECK(length > 0 && length <= static_cast<int64_t>(pages_.size()) * ops::kGrid,
               "a window of {} tokens in {} pages", length, pages_.size());
  model_.backend().reset_slot(*recurrent_, 0);
  for (int64_t begin = 0; begin < length; begin += kRows) {
    const int64_t end = std::min(begin + kRows, length);
    const ops::View hidden =
        model_.forward(batch(window, begin, end, 0), *cache_, *recurrent_, *workspace_, &trace);
    const int64_t last_slot = std::min(end, length - 1);
    if (model_.mtp() == nullptr || last_slot <= begin) continue;
    model_.mtp()->forward(batch(window, begin, last_slot, 1), hidden.first_rows(last_slot - begin),
                          *cache_, *workspace_, &trace);
  }
}

}  // namespace sluice::calibrate
