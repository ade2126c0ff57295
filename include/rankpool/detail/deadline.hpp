// When a call has to give up.
#pragma once

#include <chrono>
#include <optional>

namespace rankpool::detail {

using Clock = std::chrono::steady_clock;
using Deadline = std::optional<Clock::time_point>;  ///< none: for ever

/// When a call with this time limit has to give up; none if that is further away than the clock reaches.
template <class Rep, class Period>
Deadline deadline_after(std::chrono::duration<Rep, Period> limit) {
  using Seconds = std::chrono::duration<double>;
  const auto now = Clock::now();
  if (std::chrono::duration_cast<Seconds>(limit) >=
      std::chrono::duration_cast<Seconds>(Clock::time_point::max() - now) / 2)
    return std::nullopt;
  return now + std::chrono::ceil<Clock::duration>(limit);
}

/// For calls that must not wait.
inline Deadline no_wait() { return Clock::time_point::min(); }

}  // namespace rankpool::detail
