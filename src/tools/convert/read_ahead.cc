#include "tools/convert/read_ahead.h"

#include <algorithm>

namespace sluice::convert {
namespace {

// Ahead of the reader: a tenth of a second of a fast disk. They are file pages, which others may
// take.
constexpr uint64_t kWindow = uint64_t{128} << 20;
// At once: the kernel allocates a page for each 4 KiB before it returns.
constexpr uint64_t kStride = uint64_t{4} << 20;

}  // namespace

void ReadAhead::add(std::span<const checkpoint::StoredTensor* const> tensors) {
  first_.push_back(parts_.size());
  for (const checkpoint::StoredTensor* tensor : tensors) {
    const uint64_t begin = parts_.empty() ? 0 : parts_.back().begin + parts_.back().bytes.size();
    parts_.push_back({&checkpoint_->mapping(*tensor), tensor->bytes, begin});
  }
}

void ReadAhead::begin(size_t step) {
  step_ = step;
  for (; dropped_ < first_[step]; ++dropped_) parts_[dropped_].file->drop(parts_[dropped_].bytes);
  share_ = 0;
  {
    const std::lock_guard lock(guard_);
    if (part_ < first_[step]) {  // it was passed over
      part_ = first_[step];
      asked_ = part_ < parts_.size() ? parts_[part_].begin : asked_;
    }
  }
  advance(0);
}

void ReadAhead::advance(double share) {
  const double read = std::min(1.0, share_.fetch_add(share) + share);
  const std::unique_lock lock(guard_, std::try_to_lock);
  if (!lock.owns_lock()) return;  // someone is asking
  const size_t first = first_[step_];
  if (first == parts_.size()) return;
  const size_t end = step_ + 1 < first_.size() ? first_[step_ + 1] : parts_.size();
  uint64_t bytes = 0;
  for (size_t i = first; i < end; ++i) bytes += parts_[i].bytes.size();
  ask(parts_[first].begin + static_cast<uint64_t>(read * static_cast<double>(bytes)) + kWindow);
}

void ReadAhead::ask(uint64_t until) {
  while (part_ < parts_.size() && asked_ < until) {
    const Part& part = parts_[part_];
    const uint64_t from = asked_ - part.begin;
    const uint64_t size = std::min(kStride, part.bytes.size() - from);
    part.file->will_need(part.bytes.subspan(from, size));
    asked_ += size;
    if (from + size == part.bytes.size()) ++part_;
  }
}

}  // namespace sluice::convert
