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

void WindowReader::read(std::span<const int32_t> window, model::TraceSink& trace) {
  const auto length = static_cast<int64_t>(window.size());
  SLUICE_CHECK(length > 0 && length <= static_cast<int64_t>(pages_.size()) * ops::kGrid,
               "a window of {} tokens in {} pages", length, pages_.size());
  model_.backend().reset_slot(*recurrent_, 0);
  for (int64_t begin = 0; begin < length; begin += kRows) {
    const int64_t end = std::min(begin + kRows, length);
    const auto read = [&](int64_t first, int64_t last, int64_t position) {
      const auto tokens =
          window.subspan(static_cast<size_t>(first), static_cast<size_t>(last - first));
      return ops::one_sequence(tokens, first, position, pages_, ops::Role::kPrompt);
    };
    const ops::View hidden =
        model_.forward(read(begin, end, begin), *cache_, *recurrent_, *workspace_, &trace);
    const int64_t slots = std::min(end, length - 1) - begin;
    if (model_.mtp() == nullptr || slots <= 0) continue;
    model_.mtp()->forward(read(begin + 1, begin + 1 + slots, begin), hidden.first_rows(slots),
                          *cache_, *workspace_, &trace);
  }
}

}  // namespace sluice::calibrate
