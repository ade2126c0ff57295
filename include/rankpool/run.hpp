// Starting rankpool, and what a program can ask about itself.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <rankpool/errors.hpp>

namespace rankpool {

/// What can be set for a program in its source; the environment variable named beside a field wins over it.
struct RunOptions {
  std::optional<int> slots = {};         ///< pool workers per rank: RANKPOOL_SLOTS
  std::optional<int> master_slots = {};  ///< pool workers on rank 0 of several: RANKPOOL_MASTER_SLOTS
  /// How locks, semaphores, values and arrays are reached: RANKPOOL_WINDOW. "auto": shared memory if all ranks are on
  /// one host, else MPI's one-sided operations if they work, else messages to their home. "one_sided" and "messages":
  /// that way, also where memory could be shared (without other ranks "one_sided" is "auto").
  std::optional<std::string> window = {};
  std::optional<std::uint64_t> seed = {};  ///< of what task_rng() gives; 0 if not set: RANKPOOL_SEED
};

namespace detail {
int run(int argc, char** argv, const std::function<int(int, char**)>& program, const RunOptions& options);
}

/// Starts rankpool, runs `program` on rank 0 only, stops everything and returns its exit code; on other ranks serves
/// until the end and returns 0. Blocking; call it once, from `main`, before any thread is started. `program` is
/// callable as `int()`, `void()` or `int(int, char**)`. An exception that leaves it is printed on stderr and gives exit
/// code 1. Mirrors Python's `if __name__ == "__main__"`.
///
/// Signals to any rank, unless the program handles, ignores or blocks them itself before `run`:
/// - SIGINT, SIGTERM: the job stops. Nothing more is begun, running tasks are asked to stop (`this_task().stop`), and
///   results that come within 0.25 s are taken in. Then Processes are sent SIGTERM, and every call of the program that
///   waits, or would wait, throws Interrupted, so that it can unwind. All processes are gone within 0.8 s: whoever has
///   not ended until then is ended, and so is everything at once if the signal comes again. The exit code is 128 + the
///   signal; without a launcher the process dies of the signal, as shells expect.
/// - SIGUSR1: nothing new is begun of what the program has submitted or submits later. What runs is finished, with all
///   that it starts by itself, and Processes go on. If there are tasks left then, waiting for their job throws
///   Interrupted, and so does Process::start; waiting for anything else goes on as usual. The exit code is 102 if
///   something was left.
/// A program that catches Interrupted and returns keeps its exit code, unless that is 0.
template <class Program>
requires std::invocable<Program&> || std::invocable<Program&, int, char**>
int run(int argc, char** argv, Program&& program, RunOptions options = {}) {
  const auto as_int = [&](auto&&... args) -> int {
    if constexpr (std::is_void_v<std::invoke_result_t<Program&, decltype(args)...>>) {
      std::invoke(program, std::forward<decltype(args)>(args)...);
      return 0;
    } else {
      return std::invoke(program, std::forward<decltype(args)>(args)...);
    }
  };
  return detail::run(
      argc, argv,
      [&](int count, char** values) {
        if constexpr (std::invocable<Program&, int, char**>) {
          return as_int(count, values);
        } else {
          static_cast<void>(count);
          static_cast<void>(values);
          return as_int();
        }
      },
      options);
}

/// Who a process is. Mirrors what Python's `current_process()` tells.
struct ProcessInfo {
  std::string name;  ///< MainProcess, Process-1, PoolWorker-1, ...
  int pid = 0;
  int rank = 0;
  std::string host;
  unsigned link = 0;  ///< how its rank knows it; 0: nobody does

  /// Asks the engine of its rank, so that another process which got its pid later is not taken for it. @throws
  /// NotRunning
  bool is_alive() const;
};

/// Cores that this process may use: its affinity mask, limited by the CPU quota of its cgroup. Needs no `run`.
int cpu_count();
/// Pool workers that `Pool()` starts in the whole job, without ranks that have died. Any user process.
/// @throws NotRunning
int slot_count();
/// Ranks of the job; 1 without a launcher. Any user process. @throws NotRunning
int rank_count();
/// The rank of this process; a child has that of its engine. @throws NotRunning
int rank();
/// This process. Mirrors `multiprocessing.current_process`. @throws NotRunning
ProcessInfo current_process();
/// The process that started this one; of a pool worker, the one that owns the pool; none in the main program. Mirrors
/// `multiprocessing.parent_process`. @throws NotRunning
std::optional<ProcessInfo> parent_process();
/// The Processes that this process has started and that live. Pool workers are not among them. Mirrors
/// `multiprocessing.active_children`. @throws NotRunning
std::vector<ProcessInfo> active_children();

}  // namespace rankpool
