// The words in which the scheduler and the dealers of the ranks speak.
#pragma once

#include <chrono>
#include <cstdint>

namespace rankpool::scheduler {

using PoolId = std::uint64_t;
using JobId = std::uint64_t;
using TaskIndex = std::uint64_t;
using Nanoseconds = std::chrono::nanoseconds;

/// So many tasks of a pool that none of it can be meant to stay.
inline constexpr std::uint64_t everything = ~std::uint64_t{0};

/// Consecutive tasks of one job: [first, first + count), dealt to workers in whole chunks of `chunk` tasks (the last
/// may be shorter).
struct Run {
  JobId job = 0;
  TaskIndex first = 0;
  std::uint64_t count = 0;
  std::uint64_t chunk = 1;
  int attempt = 0;   ///< how often these tasks have been lost before
  int priority = 0;  ///< of their job: higher first
  friend bool operator==(const Run&, const Run&) = default;
};

/// Why a task was lost: the wait status of its child (as waitpid gives it).
struct Loss {
  int wait_status = 0;
  int pid = 0;
  std::uint64_t timed_out = 0;  ///< ns of its time limit, if that is why
  friend bool operator==(const Loss&, const Loss&) = default;
};

}  // namespace rankpool::scheduler
