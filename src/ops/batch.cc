#include "ops/batch.h"

namespace sluice::ops {

Batch one_sequence(std::span<const int32_t> tokens, int64_t first_index, int64_t first_position,
                   std::span<const int32_t> pages, Role role) {
  Batch batch;
  batch.pages.assign(pages.begin(), pages.end());
  Segment segment;
  segment.row_count = static_cast<int32_t>(tokens.size());
  segment.first_index = static_cast<int32_t>(first_index);
  segment.role = role;
  segment.page_count = static_cast<int32_t>(pages.size());
  batch.segments.push_back(segment);
  batch.rows.reserve(tokens.size());
  auto index = static_cast<int32_t>(first_index);
  auto position = static_cast<int32_t>(first_position);
  for (const int32_t token : tokens) {
    batch.rows.push_back({token, 0, index++, {position, position, position}});
    ++position;
  }
  return batch;
}

}  // namespace sluice::ops
