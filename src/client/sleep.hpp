// Waiting for a word in a window.
#pragma once

#include <algorithm>
#include <chrono>

#include "client/client.hpp"
#include "link/cell.hpp"

namespace rankpool::client {

/// A wake-up that died with a process, or an engine that is gone, is noticed after this.
inline constexpr auto longest_sleep = std::chrono::milliseconds(200);

/// Calls `sleep(until)` for short times until it is true or the deadline has come. @throws Error if the engine is gone
template <class Sleep>
bool sleep_until(Client& client, link::UserLink::Deadline deadline, Sleep&& sleep) {
  for (;;) {
    const auto now = link::CellClock::now();
    const auto until = deadline ? std::min(*deadline, now + longest_sleep) : now + longest_sleep;
    if (sleep(until)) return true;
    if (deadline && link::CellClock::now() >= *deadline) return false;
    client.link().look();
  }
}

/// Lets the other half of a core go on.
inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

/// Tries again for a moment, which is shorter than a sleep and a wake-up, if no other process wants the core.
template <class Try>
bool try_for_a_moment(Client& client, Try&& attempt) {
  constexpr int attempts = 100;
  for (int i = 0; i < attempts && client.link().core_is_free(); ++i) {
    relax();
    if (attempt()) return true;
  }
  return false;
}

}  // namespace rankpool::client
