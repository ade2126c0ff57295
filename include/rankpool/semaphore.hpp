// Semaphores between processes.
#pragma once

#include <chrono>
#include <utility>

#include <rankpool/detail/deadline.hpp>
#include <rankpool/detail/handle.hpp>

namespace rankpool {

/// A count that `acquire` lowers, waiting while it is 0, and `release` raises; any process may do either. Copies are
/// handles of one semaphore, and can be sent anywhere. What a process has acquired and not released when it dies stays
/// acquired. Mirrors `multiprocessing.Semaphore`.
class Semaphore : public detail::Handle {
 public:
  static constexpr detail::ObjectType type = detail::ObjectType::semaphore;

  /// @throws std::invalid_argument if `value` is negative; NotRunning
  explicit Semaphore(int value = 1) : Semaphore(value, false) {}

  /// Blocks until it could lower the count.
  void acquire() const { acquire_until({}); }
  /// Lowers the count if it is not 0. Does not wait.
  bool try_acquire() const { return acquire_until(detail::no_wait()); }
  /// Blocks at most `limit` (zero or negative: not at all). False if the count was 0 all the time.
  template <class Rep, class Period>
  bool try_acquire_for(std::chrono::duration<Rep, Period> limit) const {
    return acquire_until(detail::deadline_after(limit));
  }
  /// Raises the count by `n`. @throws std::invalid_argument if `n` is not positive; std::logic_error, with nothing
  /// changed, if the count would be more than an int holds or, of a bounded one, more than at the start
  void release(int n = 1) const;
  /// The count. What is said may be over when it is heard.
  int value() const;

 protected:
  Semaphore(int value, bool bounded);
  explicit Semaphore(detail::ObjectPtr object) noexcept : Handle(std::move(object)) {}

 private:
  template <class T>
  friend struct detail::Codec;
  bool acquire_until(detail::Deadline deadline) const;
};

/// A semaphore whose count is never more than at the start. Mirrors `multiprocessing.BoundedSemaphore`.
class BoundedSemaphore : public Semaphore {
 public:
  /// @throws std::invalid_argument if `value` is negative; NotRunning
  explicit BoundedSemaphore(int value = 1) : Semaphore(value, true) {}

 private:
  template <class T>
  friend struct detail::Codec;
  explicit BoundedSemaphore(detail::ObjectPtr object) noexcept : Semaphore(std::move(object)) {}
};

}  // namespace rankpool
