// Which pages of the key-value cache are free. Pages themselves live in the backend.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace sluice::runtime {

class PagePool {
 public:
  explicit PagePool(int64_t pages);

  int64_t capacity() const { return capacity_; }
  int64_t free() const { return static_cast<int64_t>(free_.size()); }

  std::optional<int32_t> take();
  void give_back(int32_t page);  // contract violation if the page is free already

  // Free pages are distinct and in range, and free + taken = all. Checked when idle in debug builds
  // and tests.
  bool intact() const;

 private:
  int64_t capacity_;
  std::vector<int32_t> free_;
  std::vector<bool> taken_;
};

}  // namespace sluice::runtime
