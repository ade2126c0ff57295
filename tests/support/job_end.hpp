// How long the processes of another program take to be gone.
#pragma once

#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "small_program.hpp"

namespace support {

using Milliseconds = std::chrono::milliseconds;

/// For how long at most a thread of this machine that wants to run does not while this object lives: what a test of
/// time must allow for.
class Lateness {
 public:
  Lateness() : thread_([this] { watch(); }) {}
  Lateness(const Lateness&) = delete;
  Lateness& operator=(const Lateness&) = delete;
  ~Lateness() {
    over_ = true;
    thread_.join();
  }
  Milliseconds worst() const { return Milliseconds(worst_.load()); }
  /// Was somebody else so much in the way that what has some tenths of a second may not get done in them?
  bool too_busy() const { return worst() > Milliseconds(50); }

 private:
  void watch() {
    constexpr Milliseconds nap{5};
    while (!over_) {
      const auto used = cpu_time();
      const auto all = time_of([&] {
        std::this_thread::sleep_for(nap);
        while (cpu_time() - used < std::chrono::microseconds(300)) {
        }
      });
      const auto late = all - nap - (cpu_time() - used);
      worst_ = std::max<long>(worst_, std::chrono::duration_cast<Milliseconds>(late).count());
    }
  }
  static std::chrono::nanoseconds cpu_time() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  }
  std::atomic<bool> over_{false};
  std::atomic<long> worst_{0};
  std::thread thread_;
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int slowness = 4;  // an end includes the report of a sanitizer
#else
constexpr int slowness = 1;
#endif

/// The limit, on a machine on which a thread may have to wait for so long: that happens several times in an end.
inline Milliseconds allowed(Milliseconds limit, Milliseconds late) { return slowness * limit + 5 * late; }

/// A small program that has got as far as it wants to, and is about to be ended.
class Victim {
 public:
  /// Waits until it has printed "ready".
  Victim(const std::string& name, const StartOptions& options) : program_(name, options) {
    ready_ = eventually([&] { return program_.out().find("ready") != std::string::npos; });
    for (const int pid : program_.processes())
      if (options.ranks == 0 || pid != program_.pid()) pids_.push_back(pid);
    for (int rank = 0; rank < std::max(1, options.ranks); ++rank) rank_pids_.push_back(program_.rank_pid(rank));
  }

  bool ready() const noexcept { return ready_; }
  const Started& program() const noexcept { return program_; }
  /// The time counts from here.
  void begin() { since_ = std::chrono::steady_clock::now(); }
  /// Sends the signal to the process of that rank; the time counts from there.
  void signal(int number, int rank = 0) {
    begin();
    if (const int pid = rank_pids_.at(static_cast<std::size_t>(rank)); pid != 0) ::kill(pid, number);
  }
  /// The time so far.
  Milliseconds time() const {
    return std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - since_);
  }
  /// The time from then to the end of the last process, but for the launcher's.
  Milliseconds time_to_go() {
    eventually([&] { return std::all_of(pids_.begin(), pids_.end(), [](int pid) { return is_dead_now(pid); }); });
    return time();
  }
  Ended wait() { return program_.wait(); }
  std::size_t process_count() const noexcept { return pids_.size(); }

 private:
  static bool is_dead_now(int pid) {
    const std::string stat = content_of("/proc/" + std::to_string(pid) + "/stat");
    const auto name_end = stat.rfind(')');
    return name_end == std::string::npos || stat[name_end + 2] == 'Z' || stat[name_end + 2] == 'X';
  }

  Started program_;
  bool ready_ = false;
  std::vector<int> pids_;
  std::vector<int> rank_pids_;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

/// Calls `round(0)` to `round(rounds - 1)`, some of them at a time: small programs sleep most of the time. What a round
/// asserts ends that round.
template <class Round>
void in_parallel(int rounds, Round&& round) {
  constexpr int at_once = 4;
  std::atomic<int> next{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < std::min(rounds, at_once); ++i)
    threads.emplace_back([&] {
      for (int mine = next++; mine < rounds; mine = next++) round(mine);
    });
}

/// Alone, or over three ranks if this process was started by a launcher.
inline StartOptions this_start() { return launcher().empty() ? StartOptions{} : StartOptions{.ranks = 3}; }

/// The status of a small program that was ended by the signal: without a launcher a shell must see it.
inline int status_of_signal(int signal, const StartOptions& options) {
  return options.ranks == 0 ? -signal : 128 + signal;
}

}  // namespace support
