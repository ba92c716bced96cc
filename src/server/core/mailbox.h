// Items from other threads to one coroutine.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace sluice::server {

// Held by shared_ptr: a late item must find it. push() from any thread; take() by one coroutine on
// the executor's only thread.
template <typename Item>
class Mailbox : public std::enable_shared_from_this<Mailbox<Item>> {
 public:
  explicit Mailbox(const boost::asio::any_io_executor& executor)
      : executor_(executor), timer_(executor) {}

  // How many items wait now, this one included.
  size_t push(Item item) {
    const std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
    wake_locked();
    return items_.size();
  }
  // Wakes a take() that waits, without an item.
  void interrupt() {
    const std::lock_guard lock(mutex_);
    interrupted_ = true;
    wake_locked();
  }

  // All that has come; empty after `limit`, or when interrupted.
  boost::asio::awaitable<std::vector<Item>> take(std::chrono::milliseconds limit) {
    {
      const std::lock_guard lock(mutex_);
      if (!items_.empty() || interrupted_) co_return collect();
      waiting_ = true;
    }
    timer_.expires_after(limit);
    co_await timer_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    const std::lock_guard lock(mutex_);
    waiting_ = false;
    co_return collect();
  }

 private:
  std::vector<Item> collect() {
    interrupted_ = false;
    return std::exchange(items_, {});
  }
  // One wake-up for any number of items: a burst costs one hop between the threads.
  void wake_locked() {
    if (!std::exchange(waiting_, false)) return;
    boost::asio::post(executor_, [self = this->shared_from_this()] { self->timer_.cancel(); });
  }

  const boost::asio::any_io_executor executor_;
  std::mutex mutex_;
  std::vector<Item> items_;
  bool waiting_ = false, interrupted_ = false;
  boost::asio::steady_timer timer_;  // the coroutine's thread only
};

}  // namespace sluice::server
