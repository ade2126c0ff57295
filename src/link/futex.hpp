// Sleeping on a word that several processes map.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace rankpool::link {

/// Sleeps while `*word` is `expected`, at most `limit`; not at all if that is not positive. May also return for no
/// reason.
void futex_wait(const void* word, std::uint32_t expected, std::chrono::nanoseconds limit) noexcept;
/// Wakes up to `count` of those who sleep on `word`.
void futex_wake(const void* word, int count) noexcept;

/// The part of a 64-bit word that can be slept on.
inline const void* low_half(const std::atomic<std::uint64_t>& word) noexcept {
  return reinterpret_cast<const std::byte*>(&word) + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0);
}

}  // namespace rankpool::link
