// How large a chunk is, and how many of them a worker is sent ahead.
#pragma once

#include <cstdint>

#include "scheduler/types.hpp"

namespace rankpool::scheduler {

/// What a message costs here, and the limits that follow from it.
class Timing {
 public:
  void set_round_trip(Nanoseconds round_trip) noexcept;
  double round_trip_ns() const noexcept { return round_trip_ns_; }
  /// Automatic chunks aim at this much work.
  double aim_ns() const noexcept;
  /// A chunk of more than this is long: waiting for the next one costs little.
  double long_ns() const noexcept;

 private:
  double round_trip_ns_ = 20'000;
};

/// How long tasks take, as far as reports have told.
class Pace {
 public:
  /// `forgets`: the longest chunk fades, for a mixture of tasks that never ends.
  explicit Pace(bool forgets = false) noexcept : forgets_(forgets) {}

  /// `tasks` tasks of chunks of `chunk` took `work` in all.
  void measured(std::uint64_t tasks, std::uint64_t chunk, Nanoseconds work) noexcept;

  bool known() const noexcept { return seen_ > 0; }
  /// Mean of the last hundred tasks or so.
  double task_ns() const noexcept { return task_ns_; }
  double longest_chunk_ns() const noexcept { return longest_chunk_ns_; }
  /// Tasks measured so far.
  double seen() const noexcept { return seen_; }

 private:
  double task_ns_ = 0;
  double longest_chunk_ns_ = 0;
  double seen_ = 0;
  bool forgets_;
};

/// What there is to send and to whom, when the next chunks of a job are cut.
struct Supply {
  std::uint64_t chunks = 0;   ///< not sent yet
  std::uint64_t workers = 1;  ///< of the whole pool
};

/// Chunks that a worker should have, the running one included: at least 1.
std::uint64_t window_chunks(const Pace& pace, std::uint64_t chunk, Supply supply, const Timing& timing) noexcept;

/// Chunk size of one job: given, or found by measuring.
class ChunkPolicy {
 public:
  /// 0: automatic.
  explicit ChunkPolicy(std::uint64_t chunksize) noexcept : given_(chunksize) {}

  void measured(std::uint64_t tasks, std::uint64_t chunk, Nanoseconds work, const Timing& timing) noexcept;
  /// Size of the next chunk when `unsent` tasks are left for `workers`; at least 1.
  std::uint64_t chunk(std::uint64_t unsent, std::uint64_t workers) const noexcept;
  const Pace& pace() const noexcept { return pace_; }

 private:
  Pace pace_;
  std::uint64_t given_;
  std::uint64_t grown_ = 1;
  std::uint64_t since_growth_ = 0;
};

}  // namespace rankpool::scheduler
