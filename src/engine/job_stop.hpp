// The part of a rank in the end of the job for a signal.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "engine/pool_master.hpp"
#include "engine/process_host.hpp"
#include "engine/process_master.hpp"
#include "engine/router.hpp"
#include "engine/signals.hpp"
#include "engine/stop_policy.hpp"
#include "engine/worker_host.hpp"

namespace rankpool::engine {

/// Passes the signals of this rank to rank 0, and does here what rank 0 has decided. At rank 0 also the shell around
/// the policy.
class JobStop {
 public:
  using Clock = std::chrono::steady_clock;

  /// The masters: null on other ranks than 0.
  JobStop(Router& router, Signals& signals, WorkerHost& workers, ProcessHost& processes, PoolMaster* pools,
          ProcessMaster* process_master);

  /// Called once, when the job begins to stop: the main program may not be waiting for anything, but its results come.
  void on_stopping(std::function<void()> call) { on_stopping_ = std::move(call); }

  /// Has a signal come? One relaxed load.
  bool pending() const noexcept { return signals_.pending(); }
  void take_signals();
  /// signalled, still_running and stop_running.
  void on_frame(const wire::Header& head);

  /// Must `look` be called now and then?
  bool keeps_time() const noexcept { return began_ || policy_.draining(); }
  Clock::time_point look();

  /// The program has ended: may the children go, or have Processes a moment left to end by themselves?
  bool children_have_time() const noexcept;
  /// The program has ended: says what is left, if that is why.
  void say_what_is_left() const;

  /// How a signal has ended the job.
  struct Outcome {
    int signal = 0;          ///< SIGINT or SIGTERM, if the job was stopped by it
    bool work_left = false;  ///< after SIGUSR1
  };
  Outcome outcome() const noexcept { return {policy_.stop_signal(), left_ > 0 || not_started_ > 0}; }

 private:
  void signalled(int rank, int signal);
  void stop();
  void begin_to_count();
  PoolMaster::Tally counted() const;
  void tell();
  void drain(int signal);
  void give_up();
  void begin(int signal);
  void report();
  void broadcast(wire::Stop stop);
  void say(int signal, int rank, const char* what) const;
  bool idle() const noexcept;

  Router& router_;
  Signals& signals_;
  WorkerHost& workers_;
  ProcessHost& processes_;
  PoolMaster* pools_;
  ProcessMaster* process_master_;
  std::function<void()> on_stopping_;
  std::optional<Clock::time_point> began_{};  // here
  std::optional<std::uint32_t> reported_{};   // tasks that run here

  // rank 0
  StopPolicy policy_;
  std::vector<std::optional<std::uint32_t>> running_;  // tasks, by rank
  PoolMaster::Tally before_{};                         // tasks of the jobs that had ended when a signal came
  std::uint64_t left_ = 0;                             // tasks that were not begun
  std::uint64_t not_started_ = 0;                      // Processes
};

}  // namespace rankpool::engine
