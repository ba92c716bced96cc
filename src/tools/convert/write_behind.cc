#include "tools/convert/write_behind.h"

#include <utility>

#include "base/check.h"

namespace sluice::convert {

WriteBehind::WriteBehind(size_t buffers) : slots_(buffers) {
  SLUICE_CHECK(buffers > 0, "buffers {}", buffers);
  thread_ = std::thread([this] { write_all(); });
}

WriteBehind::~WriteBehind() {
  {
    const std::lock_guard lock(guard_);
    stopping_ = true;
  }
  filled_.notify_one();
  thread_.join();
}

uint64_t WriteBehind::reserve(uint64_t count) {
  const std::lock_guard lock(guard_);
  return std::exchange(reserved_, reserved_ + count);
}

std::span<std::byte> WriteBehind::begin(uint64_t place, size_t bytes) {
  {
    std::unique_lock lock(guard_);
    SLUICE_CHECK(place < reserved_, "place {} of {}", place, reserved_);
    written_.wait(lock, [&] { return place < next_ + slots_.size(); });
  }
  Slot& own = slot(place);
  if (own.buffer.size() < bytes) own.buffer.resize(bytes);
  own.bytes = bytes;
  return std::span(own.buffer).first(bytes);
}

void WriteBehind::end(uint64_t place, Sink sink) {
  slot(place).sink = std::move(sink);
  fill(place);
}

void WriteBehind::fail(uint64_t place, Error error) {
  slot(place).error = std::move(error);
  fill(place);
}

void WriteBehind::fill(uint64_t place) {
  bool first = false;
  {
    const std::lock_guard lock(guard_);
    slot(place).filled = true;
    first = place == next_;
  }
  if (first) filled_.notify_one();
}

Status WriteBehind::add(std::function<Status()> job) {
  SLUICE_TRY(status());
  const uint64_t place = reserve(1);
  begin(place, 0);
  end(place, [job = std::move(job)](std::span<const std::byte>) { return job(); });
  return {};
}

Status WriteBehind::drain() {
  {
    std::unique_lock lock(guard_);
    written_.wait(lock, [&] { return next_ == reserved_ || error_ || exception_; });
  }
  return status();
}

Status WriteBehind::status() {
  const std::lock_guard lock(guard_);
  if (exception_) std::rethrow_exception(exception_);
  return error_ ? Status(*error_) : Status();
}

Status WriteBehind::write(Slot& slot) {
  if (slot.error) return std::move(*slot.error);
  return slot.sink(std::span(slot.buffer).first(slot.bytes));
}

void WriteBehind::write_all() {
  std::unique_lock lock(guard_);
  while (true) {
    Slot& front = slot(next_);
    filled_.wait(lock, [&] { return front.filled || stopping_; });
    if (!front.filled) return;
    if (!error_ && !exception_) {
      lock.unlock();
      Status outcome;
      std::exception_ptr exception;
      try {
        outcome = write(front);
      } catch (...) {
        exception = std::current_exception();
      }
      lock.lock();
      if (!outcome.ok()) error_ = std::move(outcome).error();
      exception_ = exception;
    }
    front.sink = nullptr;
    front.error.reset();
    front.filled = false;
    ++next_;
    written_.notify_all();
  }
}

}  // namespace sluice::convert
