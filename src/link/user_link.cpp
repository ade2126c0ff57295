#include "link/user_link.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <bit>
#include <stdexcept>

#include "link/shared_memory.hpp"

namespace rankpool::link {
namespace {

// A lost wake-up would be a bug; this only bounds what such a bug, or an engine that died, can cost.
constexpr Nanoseconds longest_sleep = std::chrono::milliseconds(200);

// A reply that is on its way is here sooner than a sleeper on a halted core is awake.
constexpr auto longest_look = std::chrono::microseconds(50);

Nanoseconds time_left(UserLink::Deadline deadline) {
  if (!deadline) return longest_sleep;
  return std::min<Nanoseconds>(longest_sleep, *deadline - UserLink::Clock::now());
}

/// Set in a process that user code has forked. One flag for all links: each was made in this process, or in the one
/// that it is a copy of.
std::atomic<bool> is_copy{false};

void watch_forks() {
  static const int watching = ::pthread_atfork(nullptr, nullptr, [] { is_copy = true; });
  static_cast<void>(watching);
  is_copy = false;
}

}  // namespace

UserLink::UserLink(LinkEnd end, Handler handler) : end_(std::move(end)), handler_(std::move(handler)) { watch_forks(); }

bool UserLink::forked() const noexcept { return is_copy.load(std::memory_order_relaxed); }

void UserLink::send(const wire::Header& head, std::span<const std::byte> first, std::span<const std::byte> second,
                    const Slice& slice, bool ring) {
  check_failed();
  const std::lock_guard lock(send_mutex_);
  while (!end_.try_send(head, first, second, slice)) {
    check_failed();
    end_.want_room();
    end_.ring();
    if (end_.try_send(head, first, second, slice)) break;
    end_.wait_for_room(longest_sleep);
  }
  if (ring) end_.ring();
}

void UserLink::send_last(const wire::Header& head) noexcept {
  const Clock::time_point limit = Clock::now() + longest_sleep;
  const std::lock_guard lock(send_mutex_);
  while (!end_.try_send(head, {}) && Clock::now() < limit) {
    end_.want_room();
    end_.ring();
    if (end_.try_send(head, {})) break;
    end_.wait_for_room(limit - Clock::now());
  }
  end_.ring();
}

std::optional<std::uint32_t> UserLink::take_lease_slot() noexcept {
  std::uint32_t free = free_leases_.load();
  while (free != 0)
    if (free_leases_.compare_exchange_weak(free, free & (free - 1)))
      return static_cast<std::uint32_t>(std::countr_zero(free));
  return std::nullopt;
}

bool UserLink::drain() {
  Incoming in;
  bool any = false;
  while (end_.receive(in)) {
    any = true;
    handler_(in);
    end_.release();
  }
  if (any) end_.publish();
  return any;
}

bool UserLink::wait_slowly(const std::function<bool()>& done, Deadline deadline) {
  check_failed();  // also before the lock: a thread that is not in this copy of the process may have it
  if (deadline && Clock::now() >= *deadline) {  // not to wait is not to be blind
    look();
    return done();
  }
  std::unique_lock lock(receive_mutex_);
  for (;;) {
    if (done()) return true;
    check_failed();
    if (deadline && Clock::now() >= *deadline) return false;
    if (leading_) {
      turn_.wait_for(lock, time_left(deadline));
    } else {
      lead(lock, [&] { read_or_sleep(done, deadline); });
    }
  }
}

void UserLink::read_or_sleep(const std::function<bool()>& done, Deadline deadline) {
  if (drain()) return;
  const Clock::time_point since = Clock::now();
  const auto ready = [&] { return failed_.load() || done(); };
  while (!end_.pending() && !ready() && end_.core_is_free() && Clock::now() - since < longest_look) ::sched_yield();
  if (!end_.pending()) end_.wait(ready, time_left(deadline));
  // whoever has nothing to do for so long can do without the memory it keeps for speed
  if (!drain() && Clock::now() - since >= longest_sleep) discard_kept_memory();
}

void UserLink::look() {
  check_failed();
  std::unique_lock lock(receive_mutex_);
  check_failed();
  if (leading_ || !end_.pending()) return;
  lead(lock, [this] { drain(); });
}

/// Runs `work` without the lock, as the only reader.
void UserLink::lead(std::unique_lock<std::mutex>& lock, const std::function<void()>& work) {
  leading_ = true;
  lock.unlock();
  std::exception_ptr trouble;
  try {
    work();
  } catch (...) {
    trouble = std::current_exception();
  }
  lock.lock();
  leading_ = false;
  turn_.notify_all();
  if (trouble) std::rethrow_exception(trouble);
}

void UserLink::fail(std::exception_ptr error) {
  {
    const std::lock_guard lock(failure_mutex_);
    failure_ = std::move(error);
    failed_.store(true, std::memory_order_release);
  }
  wake();
}

void UserLink::wake() {
  {
    const std::lock_guard lock(receive_mutex_);  // a follower is either before its test of `done` or asleep
  }
  turn_.notify_all();
  end_.ring_own();
}

void UserLink::check_failed() {
  if (forked())
    throw std::logic_error(
        "rankpool's objects are used in a process that was made by fork(): they belong to its parent; start a "
        "rankpool::Process instead");
  if (!failed()) return;
  std::exception_ptr failure;
  {
    const std::lock_guard lock(failure_mutex_);
    failure = failure_;
  }
  std::rethrow_exception(std::move(failure));
}

}  // namespace rankpool::link
