#include "base/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <limits>
#include <new>
#include <sstream>
#include <string>
#include <utility>

namespace sluice {
namespace {

constexpr size_t kLargePage = size_t{2} << 20;
constexpr size_t kSmallPage = 4096;

// The number after `key` in a "key: value kB" file of /proc, in bytes; 0 if absent.
uint64_t proc_field(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind(key + ":", 0) != 0) continue;
    std::istringstream fields(line.substr(key.size() + 1));
    uint64_t kilobytes = 0;
    fields >> kilobytes;
    return kilobytes * 1024;
  }
  return 0;
}

bool read_number(const std::string& path, uint64_t& value) {
  std::ifstream file(path);
  return static_cast<bool>(file >> value);
}

// The number after `key ` in a cgroup's memory.stat.
uint64_t cgroup_stat(const std::string& folder, const std::string& key) {
  std::ifstream file(folder + "/memory.stat");
  std::string name;
  uint64_t value = 0;
  while (file >> name >> value) {
    if (name == key) return value;
  }
  return 0;
}

// What the cgroup (version 2, or version 1's memory controller) leaves; the largest number if
// unlimited.
uint64_t cgroup_headroom() {
  constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();
  std::ifstream groups("/proc/self/cgroup");
  std::string line, v2_path = "/", v1_path;
  while (std::getline(groups, line)) {
    if (line.rfind("0::", 0) == 0) v2_path = line.substr(3);
    const size_t at = line.find(":memory:");
    if (at != std::string::npos) v1_path = line.substr(at + 8);
  }
  uint64_t headroom = kUnlimited;
  // Inside a container the process's own path may not be visible: the root of the mount is then its
  // group.
  for (const std::string& path : {v2_path, std::string("/")}) {
    const std::string folder = "/sys/fs/cgroup" + path;
    uint64_t limit = 0, current = 0;
    if (!read_number(folder + "/memory.max", limit) ||
        !read_number(folder + "/memory.current", current))
      continue;
    const uint64_t reclaimable = cgroup_stat(folder, "file");
    const uint64_t used = current > reclaimable ? current - reclaimable : 0;
    headroom = std::min(headroom, limit > used ? limit - used : 0);
  }
  for (const std::string& path : {v1_path, std::string("/")}) {
    const std::string folder = "/sys/fs/cgroup/memory" + path;
    uint64_t limit = 0, current = 0;
    if (!read_number(folder + "/memory.limit_in_bytes", limit) ||
        !read_number(folder + "/memory.usage_in_bytes", current)) {
      continue;
    }
    const uint64_t reclaimable = cgroup_stat(folder, "total_cache");
    const uint64_t used = current > reclaimable ? current - reclaimable : 0;
    headroom = std::min(headroom, limit > used ? limit - used : 0);
  }
  return headroom;
}

}  // namespace

uint64_t available_memory() {
  return std::min(proc_field("/proc/meminfo", "MemAvailable"), cgroup_headroom());
}

uint64_t anonymous_resident_memory() {
  return proc_field("/proc/self/status", "RssAnon") + proc_field("/proc/self/status", "RssShmem");
}

size_t PageBlock::footprint(size_t bytes) {
  // Small pages at the end: rounding every block up to a large one would cost half a gigabyte over
  // the 500 matrices of a 27B, or not, as the kernel finds large pages or does not; and the plan
  // could not say which.
  return (bytes + kSmallPage - 1) / kSmallPage * kSmallPage;
}

// Not by sysconf(): on a virtual machine with 32 MiB it has said 320.
uint64_t last_level_cache() {
  uint64_t largest = 0;
  for (int index = 0; index < 8; ++index) {
    std::ifstream file(fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/size", index));
    uint64_t size = 0;
    char unit = ' ';
    if (!(file >> size)) continue;
    file >> unit;
    largest = std::max(largest, size * (unit == 'M' ? uint64_t{1} << 20 : unit == 'K' ? 1024 : 1));
  }
  return largest;
}

PageBlock::PageBlock(size_t bytes) {
  if (bytes == 0) return;
  size_ = footprint(bytes);
  // Over-allocate address space, then give back what lies outside the aligned part: no memory is
  // touched.
  const size_t reserve = size_ + kLargePage;
  void* raw = ::mmap(nullptr, reserve, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) throw std::bad_alloc();
  const auto begin = reinterpret_cast<uintptr_t>(raw);
  const uintptr_t aligned = (begin + kLargePage - 1) / kLargePage * kLargePage;
  if (aligned > begin) ::munmap(raw, aligned - begin);
  const uintptr_t tail = aligned + size_;
  if (begin + reserve > tail) ::munmap(reinterpret_cast<void*>(tail), begin + reserve - tail);
  data_ = reinterpret_cast<std::byte*>(aligned);
  if (size_ >= kLargePage) ::madvise(data_, size_, MADV_HUGEPAGE);
}

void PageBlock::populate() { populate(0, size_); }

void PageBlock::populate(size_t begin, size_t end) {
  if (begin == end || ::madvise(data_ + begin, end - begin, MADV_POPULATE_WRITE) == 0) return;
  if (errno == ENOMEM) throw std::bad_alloc();
  // Kernels before 5.14 do not know the advice: write to each page.
  for (size_t offset = begin; offset < end; offset += kSmallPage) data_[offset] = std::byte{0};
}

PageBlock::PageBlock(PageBlock&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

PageBlock& PageBlock::operator=(PageBlock&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

PageBlock::~PageBlock() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

}  // namespace sluice
