// What the main program is told when a signal ends what it waits for.
#pragma once

#include <cstdint>
#include <exception>

namespace rankpool::client {

/// An Interrupted for that signal.
std::exception_ptr interrupted_by(std::uint32_t signal);

/// The exit code of a job that SIGUSR1 has ended with work left.
inline constexpr int work_left_code = 102;

/// While it lives, an Interrupted that a thread of this process lets out, or that meets a noexcept function, is no
/// crash: after SIGINT and SIGTERM that thread goes no further, and the job ends in time; after SIGUSR1 the process
/// ends at once.
class UncaughtInterrupted {
 public:
  UncaughtInterrupted() noexcept;
  ~UncaughtInterrupted();
  UncaughtInterrupted(const UncaughtInterrupted&) = delete;
  UncaughtInterrupted& operator=(const UncaughtInterrupted&) = delete;
};

}  // namespace rankpool::client
