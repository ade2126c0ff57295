// A lock or a semaphore in shared memory.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace rankpool::link {

/// Lies in a window and is used by atomics of all processes of the host; all zero is a free lock, or a semaphore of
/// value 0. Only one of the two is used, but both have their place, so that who looks through all cells for what a
/// dead process has left need not know which is which.
struct alignas(64) Cell {
  std::atomic<std::uint64_t> lock;       ///< owner and flags; see SharedLock
  std::uint32_t depth;                   ///< how often its owner has locked it; written by the owner alone
  std::atomic<std::uint32_t> sleepers;   ///< on the lock; too high once one of them was killed
  std::atomic<std::uint64_t> semaphore;  ///< value (low half) and waiters (high half; too high once one was killed)
};
static_assert(sizeof(Cell) == 64 && std::atomic<std::uint64_t>::is_always_lock_free);

using CellClock = std::chrono::steady_clock;

/// Who holds a lock: a rank, a link of it and a thread there, in the upper bits of the word. Links and threads beyond
/// 24 and 22 bits begin again, which meets only one that is 16 or 4 millions older and still there.
using Owner = std::uint64_t;

/// A mutex after Drepper, "Futexes are tricky" (2011), mutex2, with an owner. A sleeper that was woken takes the lock
/// with the mark that others sleep, since it cannot know. One that is killed after it was woken and before it took the
/// lock strands the others: so nobody sleeps without a limit, and the engine of the dead wakes all.
class SharedLock {
 public:
  static constexpr std::uint64_t waiters = 1;   ///< somebody sleeps until it is free
  static constexpr std::uint64_t orphaned = 2;  ///< free: its last owner died; held: the one before did
  static constexpr std::uint64_t flags = waiters | orphaned;

  static constexpr int thread_shift = 2, thread_bits = 22;
  static constexpr int link_shift = 24, link_bits = 24;
  static constexpr int rank_shift = 48, rank_bits = 16;
  static constexpr Owner process(int rank, std::uint32_t link) noexcept {
    return part(static_cast<std::uint64_t>(rank), rank_shift, rank_bits) | part(link, link_shift, link_bits);
  }
  static constexpr Owner owner(Owner process, std::uint32_t thread) noexcept {
    return process | part(thread, thread_shift, thread_bits);
  }
  static constexpr Owner owner_in(std::uint64_t word) noexcept { return word & ~flags; }
  static constexpr Owner process_in(std::uint64_t word) noexcept { return word >> link_shift << link_shift; }
  static constexpr int rank_in(std::uint64_t word) noexcept { return static_cast<int>(word >> rank_shift); }
  static constexpr std::uint32_t link_in(std::uint64_t word) noexcept { return bits(word, link_shift, link_bits); }
  static constexpr std::uint32_t thread_in(std::uint64_t word) noexcept {
    return bits(word, thread_shift, thread_bits);
  }

  static bool try_lock(Cell& cell, Owner me) noexcept {
    std::uint64_t seen = 0;
    if (cell.lock.compare_exchange_strong(seen, me, std::memory_order_acquire, std::memory_order_relaxed)) return true;
    return seen == orphaned &&
           cell.lock.compare_exchange_strong(seen, me | orphaned, std::memory_order_acquire, std::memory_order_relaxed);
  }
  /// Sleeps until it has the lock or `until` has come. Callers bound `until`; see above.
  static bool sleep_and_lock(Cell& cell, Owner me, CellClock::time_point until) noexcept;
  /// False if `me` does not hold it.
  static bool unlock(Cell& cell, Owner me) noexcept {
    std::uint64_t seen = me;
    if (cell.lock.compare_exchange_strong(seen, 0, std::memory_order_release, std::memory_order_relaxed)) return true;
    return owner_in(seen) == me && unlock_slowly(cell);
  }
  /// Frees it if a thread of this process holds it, which has died or does not know the lock any more.
  static bool orphan(Cell& cell, Owner process) noexcept;

 private:
  static constexpr std::uint64_t part(std::uint64_t value, int shift, int count) noexcept {
    return (value & ((std::uint64_t{1} << count) - 1)) << shift;
  }
  static constexpr std::uint32_t bits(std::uint64_t word, int shift, int count) noexcept {
    return static_cast<std::uint32_t>(word >> shift & ((std::uint64_t{1} << count) - 1));
  }
  static bool unlock_slowly(Cell& cell) noexcept;
};

class SharedSemaphore {
 public:
  static std::uint32_t value(const Cell& cell) noexcept { return value_in(cell.semaphore.load()); }
  static bool try_acquire(Cell& cell) noexcept {
    std::uint64_t seen = cell.semaphore.load(std::memory_order_relaxed);
    while (value_in(seen) != 0)
      if (cell.semaphore.compare_exchange_weak(seen, seen - 1, std::memory_order_acquire, std::memory_order_relaxed))
        return true;
    return false;
  }
  /// Sleeps until it could be lowered or `until` has come. Callers bound `until`, as with a lock.
  static bool sleep_and_acquire(Cell& cell, CellClock::time_point until) noexcept;
  /// False, with nothing changed, if it would be more than `most`.
  static bool release(Cell& cell, std::uint32_t count, std::uint32_t most) noexcept;

 private:
  static constexpr std::uint64_t one_waiter = std::uint64_t{1} << 32;
  static std::uint32_t value_in(std::uint64_t word) noexcept { return static_cast<std::uint32_t>(word); }
};

/// A process has died: frees what it held, and wakes all sleepers, since a wake-up may have died with it.
void clean_after(Cell& cell, Owner process) noexcept;
/// The same for all processes of a rank.
void clean_after_rank(Cell& cell, int rank) noexcept;

}  // namespace rankpool::link
