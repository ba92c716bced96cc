#include "runtime/cache/page_pool.h"

#include "base/check.h"

namespace sluice::runtime {

PagePool::PagePool(int64_t pages) : capacity_(pages), taken_(static_cast<size_t>(pages), false) {
  free_.reserve(static_cast<size_t>(pages));
  for (int64_t page = pages - 1; page >= 0; --page) free_.push_back(static_cast<int32_t>(page));
}

std::optional<int32_t> PagePool::take() {
  if (free_.empty()) return std::nullopt;
  const int32_t page = free_.back();
  free_.pop_back();
  taken_[static_cast<size_t>(page)] = true;
  return page;
}

void PagePool::give_back(int32_t page) {
  SLUICE_CHECK(page >= 0 && page < capacity_ && taken_[static_cast<size_t>(page)],
               "page {} of {} is not taken", page, capacity_);
  taken_[static_cast<size_t>(page)] = false;
  free_.push_back(page);
}

bool PagePool::intact() const {
  std::vector<bool> seen(static_cast<size_t>(capacity_), false);
  for (const int32_t page : free_) {
    if (page < 0 || page >= capacity_ || seen[static_cast<size_t>(page)] ||
        taken_[static_cast<size_t>(page)])
      return false;
    seen[static_cast<size_t>(page)] = true;
  }
  int64_t taken = 0;
  for (const bool t : taken_) taken += t ? 1 : 0;
  return taken + free() == capacity_;
}

}  // namespace sluice::runtime
