// Locks between processes.
#pragma once

#include <chrono>
#include <utility>

#include <rankpool/detail/deadline.hpp>
#include <rankpool/detail/handle.hpp>

namespace rankpool {

class Condition;

namespace detail {

/// What Lock and RLock have in common: Lockable and TimedLockable of the standard, so `std::scoped_lock` and
/// `std::unique_lock` take them. The owner is a thread of a process.
class LockHandle : public Handle {
 public:
  /// Blocks until it is the calling thread's. @throws std::logic_error if the calling thread holds it, and it is not
  /// recursive: that could only end in waiting for ever
  void lock() const;
  /// Takes it if nobody has it. Does not wait.
  bool try_lock() const { return lock_until(no_wait()); }
  /// Blocks at most `limit` (zero or negative: not at all). False if it was not free in time.
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> limit) const {
    return lock_until(deadline_after(limit));
  }
  /// Blocks until `time` of any clock.
  template <class TimeClock, class Duration>
  bool try_lock_until(std::chrono::time_point<TimeClock, Duration> time) const {
    for (auto now = TimeClock::now(); now < time; now = TimeClock::now())  // a clock may be set while this waits
      if (lock_until(deadline_after(time - now))) return true;
    return try_lock();
  }
  /// Gives it to the next one. @throws std::logic_error if the calling thread does not hold it
  void unlock() const;
  /// Does anybody hold it? What is said may be over when it is heard.
  bool locked() const;
  /// True for the calling thread from its `lock` to its `unlock` if the owner before died while it had the lock, so
  /// that what the lock guards may be half done. Python's locks stay held for ever then.
  bool previous_owner_died() const;

 protected:
  friend class rankpool::Condition;
  explicit LockHandle(ObjectType type);
  explicit LockHandle(ObjectPtr object) noexcept : Handle(std::move(object)) {}

 private:
  bool lock_until(Deadline deadline) const;
};

}  // namespace detail

/// A lock that one thread of one process of the job can hold, once; copies are handles of one lock, and can be sent
/// anywhere. If its owner dies or loses its last handle the next one gets it, see `previous_owner_died`. Where all
/// ranks are on one host, a free lock costs one atomic and is given to whoever comes first; else its home is asked,
/// and whoever waits longest is the next. Mirrors `multiprocessing.Lock`, but that only the owner may unlock it.
///
///     rp::Lock lock;
///     const std::scoped_lock guard(lock);
class Lock : public detail::LockHandle {
 public:
  static constexpr detail::ObjectType type = detail::ObjectType::lock;

  /// A new lock that is free. @throws NotRunning
  Lock() : LockHandle(type) {}

 private:
  template <class T>
  friend struct detail::Codec;
  explicit Lock(detail::ObjectPtr object) noexcept : LockHandle(std::move(object)) {}
};

/// A lock that its owner can lock again; it is free after as many `unlock`. Else as Lock. Mirrors
/// `multiprocessing.RLock`.
class RLock : public detail::LockHandle {
 public:
  static constexpr detail::ObjectType type = detail::ObjectType::recursive_lock;

  /// A new lock that is free. @throws NotRunning
  RLock() : LockHandle(type) {}

 private:
  template <class T>
  friend struct detail::Codec;
  template <class T>
  friend class Value;
  template <class T>
  friend class Array;
  explicit RLock(detail::ObjectPtr object) noexcept : LockHandle(std::move(object)) {}
};

}  // namespace rankpool
