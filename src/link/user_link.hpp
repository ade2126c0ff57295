// The user's end of a link, made safe for the threads of a user process.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <span>

#include "link/link.hpp"

namespace rankpool::link {

/// Sends for any thread, and receives without a thread of its own: whoever waits first reads for all (the leader), the
/// others sleep until it has something for them or leaves (leader/followers; Schmidt, Pattern-Oriented Software
/// Architecture 2).
class UserLink {
 public:
  using Clock = std::chrono::steady_clock;
  using Deadline = std::optional<Clock::time_point>;  ///< none: wait for ever
  /// Called by the leader for every frame, one at a time; it must not wait on this link.
  using Handler = std::function<void(Incoming&)>;

  UserLink(LinkEnd end, Handler handler);

  /// Sends a frame; blocks only while the ring is full. `ring`: wake the engine. Any thread. @throws Error if the
  /// engine is gone
  void send(const wire::Header& head, std::span<const std::byte> first, std::span<const std::byte> second = {},
            const Slice& slice = {}, bool ring = true);
  /// Sends a frame without a body although the link may have failed; not if the engine makes no room for it soon.
  void send_last(const wire::Header& head) noexcept;
  /// Wakes the engine for what was sent without ringing.
  void ring() noexcept { end_.ring(); }

  /// Waits until `done()`, which only frames make true; false if the deadline passed first. Any thread.
  /// `done` is called with no lock of the user's held, and must not block. @throws Error if the engine is gone
  template <class Done>
  bool wait(Done&& done, Deadline deadline) {
    if (done()) return true;
    return wait_slowly(std::ref(done), deadline);
  }
  /// Takes in what has arrived, without waiting. Any thread.
  void look();

  /// May this process look again and again for a moment before it sleeps? Any thread.
  bool core_is_free() const noexcept { return end_.core_is_free(); }

  /// Makes every waiting thread ask its `done` again, for what did not come by a frame. Any thread.
  void wake();

  /// The engine has failed: every wait and send from now on throws this. Any thread.
  void fail(std::exception_ptr error);
  bool failed() const noexcept { return failed_.load(std::memory_order_acquire); }

  /// Is this process a copy of the one that made the link? Then it can only leave: the link is its parent's.
  bool forked() const noexcept;
  /// See LinkEnd.
  bool intact() const noexcept { return end_.intact(); }

  TaskWords& tasks() noexcept { return end_.tasks(); }

  /// A lease word for the caller alone; none if all are taken. Any thread.
  std::optional<std::uint32_t> take_lease_slot() noexcept;
  void give_lease_slot(std::uint32_t slot) noexcept { free_leases_.fetch_or(1u << slot); }
  LeaseWord& lease(std::uint32_t slot) noexcept { return end_.leases()[slot]; }

 private:
  bool wait_slowly(const std::function<bool()>& done, Deadline deadline);
  void lead(std::unique_lock<std::mutex>& lock, const std::function<void()>& work);
  void read_or_sleep(const std::function<bool()>& done, Deadline deadline);
  bool drain();
  void check_failed();

  LinkEnd end_;
  Handler handler_;
  static_assert(lease_slots < 32);
  std::atomic<std::uint32_t> free_leases_{(std::uint32_t{1} << lease_slots) - 1};
  std::mutex send_mutex_;
  std::mutex receive_mutex_;
  std::condition_variable turn_;
  bool leading_ = false;
  std::atomic<bool> failed_{false};
  std::mutex failure_mutex_;
  std::exception_ptr failure_;
};

}  // namespace rankpool::link
