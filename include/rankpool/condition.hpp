// Waiting for something that is protected by a lock.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <rankpool/detail/deadline.hpp>
#include <rankpool/detail/handle.hpp>
#include <rankpool/lock.hpp>

namespace rankpool {

/// Lets the owner of a lock wait until another owner of it says that something has changed; copies are handles of one
/// condition and of its lock. It locks and unlocks as its lock does, so `std::unique_lock` takes it. Any thread may use
/// it, and it can be sent anywhere. Its home is the rank of its maker. Mirrors `multiprocessing.Condition`.
class Condition {
 public:
  /// With an RLock of its own. @throws NotRunning
  Condition();
  /// With this lock. @throws NotRunning
  explicit Condition(const Lock& lock) : Condition(new_object(), lock.object()) {}
  explicit Condition(const RLock& lock) : Condition(new_object(), lock.object()) {}

  /// As those of its lock.
  void lock();
  bool try_lock() { return lock_until(detail::no_wait()); }
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> limit) {
    return lock_until(detail::deadline_after(limit));
  }
  template <class TimeClock, class Duration>
  bool try_lock_until(std::chrono::time_point<TimeClock, Duration> time) {
    for (;;) {  // a clock may be set while this waits
      if (lock_until(detail::deadline_after(time - TimeClock::now()))) return true;
      if (TimeClock::now() >= time) return false;
    }
  }
  void unlock();

  /// Gives the lock away, however often the caller has locked it, blocks until it is notified, and takes the lock
  /// again, as often. Nothing notifies without need; still, another owner may come first, so look again at what you
  /// wait for, or give a predicate. @throws std::logic_error unless the caller owns the lock
  void wait() { wait_until({}); }
  /// The same, at most `limit` and the time to get the lock again. False if it was not notified in time.
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> limit) {
    return wait_until(detail::deadline_after(limit));
  }
  /// Waits until `holds()`, which is called by this thread while it owns the lock. Python's `wait_for`.
  template <std::predicate Predicate>
  void wait(Predicate holds) {
    require_lock("wait");
    while (!holds()) wait();
  }
  /// The same, at most `limit` in all. What `holds()` said last.
  template <class Rep, class Period, std::predicate Predicate>
  bool wait_for(std::chrono::duration<Rep, Period> limit, Predicate holds) {
    require_lock("wait");
    const detail::Deadline deadline = detail::deadline_after(limit);
    while (!holds()) {
      if (deadline && detail::Clock::now() >= *deadline) return false;
      wait_until(deadline);
    }
    return true;
  }

  /// Wakes up to `count` of those who wait, the longest waiting first; they go on once they get the lock. Does nothing
  /// for more than wait. @throws std::logic_error unless the caller owns the lock
  void notify(std::size_t count = 1);
  /// Wakes all.
  void notify_all() { notify(SIZE_MAX); }

 private:
  friend struct detail::Codec<Condition>;
  Condition(detail::ObjectPtr object, detail::ObjectPtr lock) noexcept
      : object_(std::move(object)), lock_(std::move(lock)) {}
  static detail::ObjectPtr new_object();

  bool lock_until(detail::Deadline deadline);
  bool wait_until(detail::Deadline deadline);
  void require_lock(const char* call) const;

  detail::ObjectPtr object_;
  detail::ObjectPtr lock_;
};

namespace detail {

template <>
struct Codec<Condition> {
  static constexpr bool raw = false;
  static void encode(Buffer& out, const Condition& condition);
  static Condition decode(Reader& in);
};

}  // namespace detail
}  // namespace rankpool
