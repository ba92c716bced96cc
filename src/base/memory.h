// What memory there is, what this process uses, and blocks of it in large pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice {

// Bytes that the process may still take: the smaller of the system's available memory and what the
// cgroup's limit leaves (file-backed pages of the cgroup count as free: the kernel drops them
// first).
uint64_t available_memory();

// Resident bytes that are not backed by a file (RssAnon + RssShmem), now. (The kernel keeps no
// high-water mark without file pages; measurements of a peak sample this.)
uint64_t anonymous_resident_memory();

// Bytes; 0 if the system does not say.
uint64_t last_level_cache();

// An owning, zero-filled anonymous block, 2 MiB aligned, with transparent huge pages requested.
// Memory is touched by whoever first writes it (first-touch placement on several sockets).
class PageBlock {
 public:
  PageBlock() = default;
  explicit PageBlock(size_t bytes);  // throws std::bad_alloc when the system refuses
  PageBlock(PageBlock&& other) noexcept;
  PageBlock& operator=(PageBlock&& other) noexcept;
  ~PageBlock();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

  // Touches every page now, or those of bytes [begin, end), so that nothing can be missing later.
  // begin: a multiple of kPopulateGrain. Throws std::bad_alloc when the system refuses.
  void populate();
  void populate(size_t begin, size_t end);
  static constexpr size_t kPopulateGrain = size_t{2} << 20;  // a large page

  // What a block of this many bytes really takes once touched.
  static size_t footprint(size_t bytes);

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace sluice
