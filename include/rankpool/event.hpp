// A flag that processes wait for.
#pragma once

#include <chrono>

#include <rankpool/detail/deadline.hpp>
#include <rankpool/detail/handle.hpp>

namespace rankpool {

/// A flag that any process can set and wait for; copies are handles of one event. Any thread may use it, and it can be
/// sent anywhere. Its home is the rank of its maker. Mirrors `multiprocessing.Event`.
class Event : public detail::Handle {
 public:
  static constexpr detail::ObjectType type = detail::ObjectType::event;

  /// A new event that is not set. @throws NotRunning
  Event();

  /// Is it set? Asks its home.
  bool is_set() const;
  /// Sets it: everyone who waits goes on. It is set when the call returns.
  void set();
  /// The flag is down again when the call returns.
  void clear();
  /// Blocks until it is set; returns at once if it is.
  void wait() { wait_until({}); }
  /// Blocks until it is set, at most `limit` (zero or negative: only looks). False if it was not set in time.
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> limit) {
    return wait_until(detail::deadline_after(limit));
  }

 private:
  template <class T>
  friend struct detail::Codec;
  explicit Event(detail::ObjectPtr object) noexcept : Handle(std::move(object)) {}
  bool wait_until(detail::Deadline deadline);
};

}  // namespace rankpool
