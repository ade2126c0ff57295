// Queues between processes.
#pragma once

#include <chrono>
#include <cstddef>

#include <rankpool/detail/queue_handle.hpp>

namespace rankpool {

/// First in, first out, for any number of producers and consumers anywhere in the job; copies are handles of one queue,
/// and handles can be sent anywhere, also inside items. Its home is the rank of its maker: the items live there, so a
/// process that ends never waits for unread ones. Each producer's items stay in order. An item is only lost if the
/// process that it was given to dies. Mirrors `multiprocessing.Queue`.
template <class T>
class Queue : public detail::QueueOf<T> {
 public:
  /// A new queue that has at most `maxsize` items; 0: any number. @throws NotRunning
  explicit Queue(std::size_t maxsize = 0) : detail::QueueOf<T>(maxsize) {}

 private:
  template <class U>
  friend struct detail::Codec;
  explicit Queue(detail::ObjectPtr object) noexcept : detail::QueueOf<T>(std::move(object)) {}
};

/// A Queue whose consumers say when they are done with an item. Mirrors `multiprocessing.JoinableQueue`.
template <class T>
class JoinableQueue : public detail::QueueOf<T> {
 public:
  /// A new queue that has at most `maxsize` items; 0: any number. @throws NotRunning
  explicit JoinableQueue(std::size_t maxsize = 0) : detail::QueueOf<T>(maxsize) {}

  /// An item that was got is done with; to be called once for each. @throws std::logic_error if it is one too many;
  /// Closed
  void task_done() const { this->finish_one(); }
  /// Blocks until everything that was put is done with; returns at once if it is. @throws Closed
  void join() const { this->join_until({}); }
  /// The same for at most `limit` (zero or negative: only looks). False if something is not done. @throws Closed
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> limit) const {
    return this->join_until(detail::deadline_after(limit));
  }

 private:
  template <class U>
  friend struct detail::Codec;
  explicit JoinableQueue(detail::ObjectPtr object) noexcept : detail::QueueOf<T>(std::move(object)) {}
};

/// A Queue without a limit. Mirrors `multiprocessing.SimpleQueue`.
template <class T>
class SimpleQueue : public detail::QueueOf<T> {
 public:
  /// A new queue. @throws NotRunning
  SimpleQueue() : detail::QueueOf<T>(std::size_t{0}) {}

 private:
  template <class U>
  friend struct detail::Codec;
  explicit SimpleQueue(detail::ObjectPtr object) noexcept : detail::QueueOf<T>(std::move(object)) {}
};

}  // namespace rankpool
