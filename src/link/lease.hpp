// Words by which a process is lent items of a queue that can be called back while it computes.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace rankpool::link {

/// What a lease word says: which lease it is about, how much of it was taken, and whether no more may be.
struct LeaseState {
  static constexpr int revoked_shift = 16;
  static constexpr int generation_shift = 17;

  std::uint64_t bits = 0;

  constexpr std::uint64_t generation() const noexcept { return bits >> generation_shift; }
  constexpr bool revoked() const noexcept { return (bits >> revoked_shift & 1) != 0; }
  constexpr std::uint32_t taken() const noexcept { return bits & 0xffff; }
};

/// One word in the shared memory of a link. The user's side begins leases and takes from them; the engine's side may
/// revoke one at any time, and then knows for certain what was taken. All zero is its initial state.
class alignas(64) LeaseWord {
 public:
  static constexpr std::uint32_t most_items = 4096;

  /// User's side: from now on the word is about this lease, which is a number larger than all before; below 2^47.
  /// Returns the last word on the lease before, which the home must be told.
  LeaseState begin(std::uint64_t generation) noexcept {
    return {word_.exchange(generation << LeaseState::generation_shift, std::memory_order_acq_rel)};
  }
  /// User's side: takes the next item; false once the lease was revoked.
  bool take() noexcept {
    LeaseState now = state();
    while (!now.revoked())
      if (word_.compare_exchange_weak(now.bits, now.bits + 1, std::memory_order_acq_rel)) return true;
    return false;
  }
  /// No more is taken from the lease. What the word says then; it is about another lease if the user's side has begun
  /// one, and then nothing was done. Either side.
  LeaseState revoke(std::uint64_t generation) noexcept {
    LeaseState now = state();
    while (now.generation() == generation && !now.revoked()) {
      const LeaseState revoked{now.bits | std::uint64_t{1} << LeaseState::revoked_shift};
      if (word_.compare_exchange_weak(now.bits, revoked.bits, std::memory_order_acq_rel)) return revoked;
    }
    return now;
  }
  LeaseState state() const noexcept { return {word_.load(std::memory_order_acquire)}; }

 private:
  std::atomic<std::uint64_t> word_{0};
};

inline constexpr std::size_t lease_slots = 16;  // of one link: queues that one process reads fast at a time
using LeaseTable = std::array<LeaseWord, lease_slots>;
using LeaseStates = std::array<LeaseState, lease_slots>;

}  // namespace rankpool::link
