// The end of a process that does not come by itself.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include "link/descriptors.hpp"

namespace rankpool::engine {

/// A thread that ends this process at a given time, whatever its other threads are in then: the user's code, MPI, a
/// system call.
class EndGuard {
 public:
  using Clock = std::chrono::steady_clock;
  enum class Why : int { too_late, asked_again, failed };
  /// How the process ends.
  struct Manner {
    pid_t zygote = 0;             ///< is told first, so that all children go; 0: none
    bool by_signal = false;       ///< by the signal itself, for a shell to see; else with 128 + signal as exit code
    bool speaks = false;          ///< says why on stderr
    void (*note)(int) = nullptr;  ///< is told the exit code; async-signal-safe
  };

  /// @throws std::system_error if there can be no thread
  explicit EndGuard(const Manner& manner);
  EndGuard(const EndGuard&) = delete;
  EndGuard& operator=(const EndGuard&) = delete;
  ~EndGuard();

  /// The process ends at that time for that signal (0: an error, exit code 1). The earliest time and the first signal
  /// count. Any thread, and async-signal-safe.
  void arm(int signal, Why why, Clock::time_point at) noexcept;
  /// The program has returned: only MPI can be in the way now, which is nothing to speak of. `status`: its exit code,
  /// if that is not 0.
  void program_ended(int status) noexcept;
  bool armed() const noexcept { return at_.load(std::memory_order_acquire) != 0; }

 private:
  void watch() noexcept;
  [[noreturn]] void end() noexcept;

  const Manner manner_;
  const link::UniqueFd zygote_;      // its number may be another process's by then
  std::atomic<std::int64_t> at_{0};  // ns of the clock; 0: never
  std::atomic<int> signal_{0};
  std::atomic<Why> why_{Why::too_late};
  std::atomic<bool> program_ended_{false};
  std::atomic<int> status_{0};
  std::atomic<bool> over_{false};
  std::atomic<std::uint32_t> turn_{0};  // the futex on which the thread sleeps
  std::thread thread_;
};

}  // namespace rankpool::engine
