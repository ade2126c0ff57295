// Waiting for a word in a window.
#pragma once

#include <algorithm>
#include <chrono>

#include "client/remote_object.hpp"
#include "link/cell.hpp"

namespace rankpool::client {

/// A wake-up that died with a process, or an engine that is gone, is noticed after this.
inline constexpr auto longest_sleep = std::chrono::milliseconds(200);
/// The same for the main program, which has little time left when it is interrupted.
inline constexpr auto longest_main_sleep = std::chrono::milliseconds(50);

/// Calls `sleep(until)` for short times until it is true or the deadline has come. @throws Error if the engine is gone,
/// RankLost if the home of the object is
template <class Sleep>
bool sleep_until(const RemoteObject& object, link::UserLink::Deadline deadline, Sleep&& sleep) {
  const auto longest = object.client().identity().parent ? longest_sleep : longest_main_sleep;
  const auto limit = deadline.value_or(link::CellClock::time_point::max());
  for (;;) {
    if (sleep(std::min(limit, link::CellClock::now() + longest))) return true;
    if (link::CellClock::now() >= limit) return false;
    object.client().link().look();
    object.require_home();
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
