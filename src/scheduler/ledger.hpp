// Which tasks are under way at one rank.
#pragma once

#include <cstdint>
#include <optional>

#include "scheduler/sliding_vector.hpp"
#include "scheduler/types.hpp"

namespace rankpool::scheduler {

/// What one rank was sent and has not reported yet: intervals of tasks, sorted by job and task. Jobs are named by a
/// number that grows in the order they are sent, so that most changes are at the ends.
class Ledger {
 public:
  struct Piece {
    std::uint64_t job = 0;
    TaskIndex first = 0;
    TaskIndex last = 0;  ///< behind the last task
    TaskIndex base = 0;  ///< where some chunk of its run began
    std::uint64_t chunk = 1;
  };

  /// None of the tasks may be in it.
  void add(std::uint64_t job, const Run& run);
  /// Removes the tasks and returns the size of the first one's chunk, or does nothing if not all of them are here.
  std::optional<std::uint64_t> take(std::uint64_t job, TaskIndex first, std::uint64_t count);
  /// Removes all of the job.
  void forget(std::uint64_t job);
  void clear() noexcept;

  bool has(std::uint64_t job) const noexcept;

  /// Chunks of which something is unfinished.
  std::uint64_t chunks() const noexcept { return chunks_; }
  /// All that is in it.
  std::uint64_t tasks() const noexcept { return tasks_; }
  /// In order of job and task; no piece reaches beyond the run it came with.
  const SlidingVector<Piece>& pieces() const noexcept { return pieces_; }

 private:
  std::size_t lower_bound(std::uint64_t job, TaskIndex first) const noexcept;
  void remove(std::size_t begin, std::size_t end, TaskIndex first, TaskIndex last);

  SlidingVector<Piece> pieces_;
  std::uint64_t chunks_ = 0;
  std::uint64_t tasks_ = 0;
  std::size_t hint_ = 0;  // where the last report was found: the next one is often behind it
};

}  // namespace rankpool::scheduler
