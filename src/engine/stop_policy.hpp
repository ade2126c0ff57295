// What a job does about the signals that come to its ranks.
#pragma once

#include <chrono>
#include <vector>

namespace rankpool::engine {

/// At rank 0. No clock of its own, no I/O.
///
/// SIGINT and SIGTERM: what runs has a moment for its results, then the program is told; the same again from the same
/// rank, a while later, ends the job at once (launchers send a signal to every rank, and some send it twice). SIGUSR1:
/// nothing new is begun.
class StopPolicy {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Action {
    none,
    drain,  ///< finish what runs, begin nothing new
    stop,   ///< ask what runs to stop
    tell,   ///< the results have come, or have had their time: the program is to end
    end,    ///< at once
  };

  // After the first signal. mpirun kills 1 s after its SIGTERM, so all must be over before, with something to spare.
  static constexpr auto results_until = std::chrono::milliseconds(250);
  static constexpr auto processes_until = std::chrono::milliseconds(450);   ///< from SIGTERM to SIGKILL, at most
  static constexpr auto end_after = std::chrono::milliseconds(620);         ///< whoever is not through then
  static constexpr auto others_end_after = std::chrono::milliseconds(670);  ///< on other ranks than 0
  /// Two signals with less between them are one.
  static constexpr auto apart = std::chrono::milliseconds(100);

  explicit StopPolicy(int ranks) : asked_(static_cast<std::size_t>(ranks)) {}

  /// A signal has come to that rank.
  Action signalled(int rank, int signal, Time now);
  /// `idle`: no task runs any more.
  Action look(Time now, bool idle);
  /// When to look again; max(): there is no reason to.
  Time next() const noexcept { return phase_ == Phase::stopping ? first_ + results_until : Time::max(); }

  /// The signal for which the job stops; 0: it does not.
  int stop_signal() const noexcept { return phase_ >= Phase::stopping ? signal_ : 0; }
  bool draining() const noexcept { return phase_ == Phase::draining; }

 private:
  enum class Phase { running, draining, stopping, told, ended };
  Phase phase_ = Phase::running;
  int signal_ = 0;
  Time first_{};
  std::vector<bool> asked_;  // ranks to which SIGINT or SIGTERM has come
};

}  // namespace rankpool::engine
