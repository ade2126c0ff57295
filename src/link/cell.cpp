#include "link/cell.hpp"

#include <algorithm>
#include <climits>

#include "link/futex.hpp"

namespace rankpool::link {

bool SharedLock::sleep_and_lock(Cell& cell, Owner me, CellClock::time_point until) noexcept {
  for (std::uint64_t seen = cell.lock.load(std::memory_order_relaxed);;) {
    if (owner_in(seen) == 0) {
      if (cell.lock.compare_exchange_weak(seen, me | waiters | (seen & orphaned), std::memory_order_acquire,
                                          std::memory_order_relaxed))
        return true;
      continue;
    }
    const auto limit = until - CellClock::now();
    if (limit <= CellClock::duration::zero()) return false;
    if ((seen & waiters) == 0 &&
        !cell.lock.compare_exchange_weak(seen, seen | waiters, std::memory_order_relaxed, std::memory_order_relaxed))
      continue;
    // The half that is slept on need not tell owners apart: whoever holds the lock wakes one, if the mark is there.
    cell.sleepers.fetch_add(1, std::memory_order_relaxed);
    futex_wait(low_half(cell.lock), static_cast<std::uint32_t>(seen | waiters), limit);
    cell.sleepers.fetch_sub(1, std::memory_order_relaxed);
    seen = cell.lock.load(std::memory_order_relaxed);
  }
}

bool SharedLock::unlock_slowly(Cell& cell) noexcept {
  if ((cell.lock.exchange(0, std::memory_order_release) & waiters) != 0) futex_wake(low_half(cell.lock), 1);
  return true;
}

bool SharedLock::orphan(Cell& cell, Owner process) noexcept {
  std::uint64_t seen = cell.lock.load(std::memory_order_relaxed);
  while (owner_in(seen) != 0 && process_in(seen) == process) {
    if (!cell.lock.compare_exchange_weak(seen, orphaned, std::memory_order_acq_rel, std::memory_order_relaxed))
      continue;
    futex_wake(low_half(cell.lock), INT_MAX);
    return true;
  }
  return false;
}

bool SharedSemaphore::sleep_and_acquire(Cell& cell, CellClock::time_point until) noexcept {
  std::uint64_t seen = cell.semaphore.fetch_add(one_waiter, std::memory_order_relaxed) + one_waiter;
  for (;;) {
    if (value_in(seen) != 0) {
      if (cell.semaphore.compare_exchange_weak(seen, seen - one_waiter - 1, std::memory_order_acquire,
                                               std::memory_order_relaxed))
        return true;
      continue;
    }
    const auto limit = until - CellClock::now();
    if (limit <= CellClock::duration::zero()) break;
    futex_wait(low_half(cell.semaphore), 0, limit);
    seen = cell.semaphore.load(std::memory_order_relaxed);
  }
  cell.semaphore.fetch_sub(one_waiter, std::memory_order_relaxed);
  return false;
}

bool SharedSemaphore::release(Cell& cell, std::uint32_t count, std::uint32_t most) noexcept {
  std::uint64_t seen = cell.semaphore.load(std::memory_order_relaxed);
  do {
    if (count > most || value_in(seen) > most - count) return false;
  } while (
      !cell.semaphore.compare_exchange_weak(seen, seen + count, std::memory_order_release, std::memory_order_relaxed));
  if (seen >= one_waiter)
    futex_wake(low_half(cell.semaphore), static_cast<int>(std::min<std::uint32_t>(count, INT_MAX)));
  return true;
}

void clean_after_rank(Cell& cell, int rank) noexcept {
  Owner owner = SharedLock::process_in(cell.lock.load(std::memory_order_relaxed));
  if (SharedLock::owner_in(owner) == 0 || SharedLock::rank_in(owner) != rank) owner = 0;
  clean_after(cell, owner);
}

void clean_after(Cell& cell, Owner process) noexcept {
  SharedLock::orphan(cell, process);
  if (cell.sleepers.load(std::memory_order_relaxed) != 0) futex_wake(low_half(cell.lock), INT_MAX);
  if (cell.semaphore.load(std::memory_order_relaxed) >> 32 != 0) futex_wake(low_half(cell.semaphore), INT_MAX);
}

}  // namespace rankpool::link
