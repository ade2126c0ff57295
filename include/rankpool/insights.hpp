// What a pool has done so far.
#pragma once

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace rankpool {

/// The part of a rank in the work of a pool.
struct RankInsights {
  int rank = 0;
  std::string host;
  int workers = 0;                      ///< that the pool keeps there
  std::uint64_t tasks = 0;              ///< that have ended there, with a value or an error
  std::chrono::nanoseconds working{0};  ///< time in those tasks, of all workers together

  friend bool operator==(const RankInsights&, const RankInsights&) = default;
};

/// The numbers of a pool at one moment; see Pool::insights. A task is counted once in one of `done`, `failed`,
/// `cancelled`, `waiting` and `running`, and their sum is `submitted`. What a worker did in an attempt that ended with
/// its death is in no time. Tasks whose results came from a MapOptions::checkpoint are not counted.
struct Insights {
  std::uint64_t submitted = 0;
  std::uint64_t done = 0;       ///< returned
  std::uint64_t failed = 0;     ///< ended with an error, or lost in every attempt
  std::uint64_t cancelled = 0;  ///< nobody wants them any more: cancelled, or the pool was terminated
  std::uint64_t waiting = 0;    ///< no worker has begun them
  std::uint64_t running = 0;    ///< dealt to the ranks, one a worker; some may be about to begin, or to be reported

  std::uint64_t lost = 0;     ///< attempts that ended without a result: the worker died, or the time limit had passed
  std::uint64_t retried = 0;  ///< of these, how many were followed by another attempt

  int workers = 0;                    ///< that the pool keeps
  std::uint64_t workers_started = 0;  ///< so far, with replacements
  std::vector<RankInsights> ranks;    ///< those with workers

  std::chrono::nanoseconds elapsed{0};  ///< since the pool was opened, until now or until its last worker had gone
  std::chrono::nanoseconds working{0};  ///< time in tasks that have ended, of all workers together
  std::chrono::nanoseconds mean{0};     ///< of a task that has ended; 0: none has
  std::chrono::nanoseconds longest{0};  ///< at least: short tasks are measured in groups
  double utilisation = 0;               ///< working / (elapsed * workers)
};

/// A short table, with an end of line behind each line.
std::string to_string(const Insights& insights);
std::ostream& operator<<(std::ostream& out, const Insights& insights);

}  // namespace rankpool
