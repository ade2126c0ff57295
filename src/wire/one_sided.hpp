// What user processes ask their own engine to do at the window of a home. Offsets count from the start of the window.
#pragma once

#include <cstdint>

#include "wire/kind.hpp"
#include "wire/window.hpp"

namespace rankpool::wire {

// The word of a lock, beside the owner (link::SharedLock::owner) that holds it without its home's knowledge.
constexpr std::uint64_t lock_free = 0;
constexpr std::uint64_t lock_managed = 1;  ///< the home decides: ask there

/// window_lock.
struct WindowLock {
  std::int32_t rank = 0;  ///< the home
  std::uint32_t reserved = 0;
  std::uint64_t offset = 0;
  std::uint64_t owner = 0;  ///< who asks, as the word names it
};
/// window_semaphore. The word is the value while it is not negative; below 0 it says for how many who wait at the home
/// nobody has released anything yet.
struct WindowSemaphore {
  std::int32_t rank = 0;
  std::uint32_t count = 1;  ///< to release
  std::uint64_t offset = 0;
  std::uint64_t most = 0;
};
/// window_word.
struct WindowWord {
  std::int32_t rank = 0;
  std::uint32_t reserved = 0;
  WordRequest word{};
};
/// window_read and window_write.
struct WindowRange {
  std::int32_t rank = 0;
  std::uint32_t reserved = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

/// Is it for the engine of the user process that sends it, whatever the home of the object?
constexpr bool is_for_own_engine(Kind kind) noexcept {
  return kind >= Kind::window_lock && kind <= Kind::shared_withdraw;
}
/// And is it an operation on a window, which ends with an answer?
constexpr bool is_window_operation(Kind kind) noexcept {
  return kind >= Kind::window_lock && kind <= Kind::window_write && kind != Kind::window_withdraw;
}

}  // namespace rankpool::wire
