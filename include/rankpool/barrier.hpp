// Where processes wait for each other.
#pragma once

#include <chrono>
#include <utility>

#include <rankpool/detail/deadline.hpp>
#include <rankpool/detail/handle.hpp>

namespace rankpool {

/// Lets a fixed number of callers go on only together; copies are handles of one barrier. Any thread may use it, and it
/// can be sent anywhere. Its home is the rank of its maker. Mirrors `multiprocessing.Barrier`; instead of its `action`,
/// let the caller that is given 0 do it.
///
/// It breaks when a caller runs out of time or its process ends while it waits, and when it is aborted: all who wait
/// then, and all who come before `reset`, get BrokenBarrier, so nobody waits for someone who will not come.
class Barrier : public detail::Handle {
 public:
  static constexpr detail::ObjectType type = detail::ObjectType::barrier;

  /// For so many callers. @throws std::invalid_argument if that is less than one; NotRunning
  explicit Barrier(int parties);

  /// Blocks until all have come. A number from 0 on that is different for each of them, so exactly one gets 0.
  /// @throws BrokenBarrier
  int wait() { return wait_until({}); }
  /// The same, but if not all have come within `limit` (zero or negative: now), the barrier breaks, for this caller
  /// too.
  template <class Rep, class Period>
  int wait_for(std::chrono::duration<Rep, Period> limit) {
    return wait_until(detail::deadline_after(limit));
  }
  /// Breaks it until it is reset.
  void abort();
  /// Makes it as new; those who wait meanwhile get BrokenBarrier.
  void reset();

  /// How many must come. Asks its home, as the next two do.
  int parties() const;
  /// How many wait now.
  int n_waiting() const;
  /// Has it broken, and not been reset?
  bool broken() const;

 private:
  template <class T>
  friend struct detail::Codec;
  explicit Barrier(detail::ObjectPtr object) noexcept : Handle(std::move(object)) {}
  int wait_until(detail::Deadline deadline);
};

}  // namespace rankpool
