// Sleeping without polling: a futex word in shared memory.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace rankpool::link {

using Nanoseconds = std::chrono::nanoseconds;

/// Nothing written before is seen after what is read behind it: both sides of a "publish, then look" pair need one.
inline void full_fence() noexcept {
#if defined(__SANITIZE_THREAD__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
  std::atomic_thread_fence(std::memory_order_seq_cst);
#if defined(__SANITIZE_THREAD__)
#pragma GCC diagnostic pop
#endif
}

/// The last announcement that a ringer has answered, so that ringing often costs one system call a sleep, not one a
/// ring. One per ringer, never shared between processes: what a ringer that dies half-way left undone, the next does.
using Answered = std::atomic<std::uint32_t>;

/// A doorbell between processes of one host. Lives in shared memory; all zero is its initial state.
/// The waker first publishes what it has to say, then rings; the sleeper announces itself, looks once more, then
/// sleeps.
///
/// No wake-up is lost: waker and sleeper both have a full fence between their write (what is published; the
/// announcement) and their look at the other's, so at least one of them sees the other. The futex word changes only
/// when there is a sleeper: the sleeper has read it before its announcement, so a waker that saw the announcement
/// changes the word after that, and the sleep ends, or never begins. A waker that saw none need not change it: the
/// sleeper sees what was published. A sleeper that is killed in its sleep leaves its announcement behind; that costs
/// each ringer one useless wake-up for every later announcement, and nothing else.
class alignas(64) Bell {
 public:
  /// Wakes all sleepers, if there are any; costs one fence and one load if there are none.
  void ring() noexcept {
    full_fence();
    if (sleepers(state_.load(std::memory_order_acquire)) != 0) wake();
  }
  /// The same, but does nothing if this ringer has already rung since the last sleeper lay down.
  void ring(Answered& answered) noexcept {
    full_fence();
    const std::uint64_t state = state_.load(std::memory_order_acquire);
    if (sleepers(state) == 0 || answered.load(std::memory_order_relaxed) == announcement(state)) return;
    wake();
    answered.store(announcement(state), std::memory_order_relaxed);
  }
  /// Sleeps until rung, until `timeout` has passed, or not at all if it is not positive or `ready()` is true once the
  /// intention to sleep is visible. Returns at spurious wake-ups too: the caller looks for itself.
  template <class Ready>
  void wait(Ready&& ready, Nanoseconds timeout) {
    if (timeout <= Nanoseconds::zero()) return;
    const Announcement mine(*this);
    if (!ready()) sleep(mine.seen, timeout);
  }
  bool has_sleeper() const noexcept { return sleepers(state_.load(std::memory_order_relaxed)) != 0; }

 private:
  static constexpr std::uint64_t one_announcement = std::uint64_t{1} << 32;
  static std::uint32_t sleepers(std::uint64_t state) noexcept { return static_cast<std::uint32_t>(state); }
  static std::uint32_t announcement(std::uint64_t state) noexcept { return static_cast<std::uint32_t>(state >> 32); }

  struct Announcement {
    explicit Announcement(Bell& which) noexcept : bell(which), seen(which.sequence_.load(std::memory_order_acquire)) {
      bell.state_.fetch_add(one_announcement + 1, std::memory_order_seq_cst);
      full_fence();
    }
    ~Announcement() { bell.state_.fetch_sub(1, std::memory_order_release); }
    Announcement(const Announcement&) = delete;
    Announcement& operator=(const Announcement&) = delete;
    Bell& bell;
    std::uint32_t seen;
  };
  void wake() noexcept;
  void sleep(std::uint32_t seen, Nanoseconds timeout) noexcept;

  std::atomic<std::uint64_t> state_{0};     // announcements ever (high half) and sleepers now (low half)
  std::atomic<std::uint32_t> sequence_{0};  // the futex word
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free && sizeof(std::atomic<std::uint32_t>) == 4);

}  // namespace rankpool::link
