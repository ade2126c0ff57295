// What the pool scheduler remembers of a job, a rank and a pool.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "scheduler/ledger.hpp"
#include "scheduler/level_lists.hpp"
#include "scheduler/pool_scheduler.hpp"
#include "scheduler/sliding_vector.hpp"

namespace rankpool::scheduler {

struct PoolScheduler::Job {
  static constexpr int nowhere = -1;
  static constexpr int many_ranks = -2;

  Job(JobId id_, Pool& pool_, std::uint64_t number_, JobOptions options)
      : id(id_), pool(&pool_), number(number_), retries(options.retries), policy(options.chunksize) {}

  bool complete() const noexcept { return all_known && ended == known; }
  /// Such jobs (`apply`) are measured together, since none of them lives to profit from its own report.
  bool single() const noexcept { return known <= 1; }
  std::uint64_t unsent() const noexcept { return known - next; }

  JobId id;
  Pool* pool;
  std::uint64_t number;  ///< order of submission in its pool
  int retries;
  int rank = nowhere;  ///< the only rank that was sent something of it
  bool all_known = false;
  bool again = false;  ///< has been in Pool::again
  TaskIndex known = 0;
  TaskIndex next = 0;  ///< the first that was never sent
  std::uint64_t ended = 0;
  TaskIndex block_end = 0;          ///< of the block that `next` is in
  SlidingVector<TaskIndex> blocks;  ///< ends of the blocks behind that one
  ChunkPolicy policy;
  std::unique_ptr<std::unordered_map<TaskIndex, int>> losses;
};

/// Tasks of one block to be sent once more.
struct PoolScheduler::Again {
  Job* job;
  Run run;
};

struct PoolScheduler::Rank {
  std::uint64_t chunks() const noexcept { return ledger.chunks() + planned; }

  std::uint64_t workers = 0;
  std::uint64_t free = 0;     ///< workers without a chunk
  std::uint64_t planned = 0;  ///< chunks that are about to be sent
  Ledger ledger;
  std::uint64_t refill_at = 0;  ///< look for more when so few chunks are left, as seen
  std::uint64_t season = 0;     ///< in that season of the pool
};

struct PoolScheduler::Pool {
  struct Ready {
    std::uint64_t number = 0;
    Job* job = nullptr;  ///< none: it was cancelled
  };

  explicit Pool(PoolId id_) : id(id_) {}

  bool has_unsent() const noexcept { return unsent > 0 || !again.empty(); }
  Rank* find(int rank) noexcept {
    return rank >= 0 && static_cast<std::size_t>(rank) < ranks.size() ? &ranks[static_cast<std::size_t>(rank)]
                                                                      : nullptr;
  }
  /// After any change of the rank's workers or chunks. `to_back`: behind its equals.
  void sort(int rank, bool to_back = false) {
    Rank& at = ranks[static_cast<std::size_t>(rank)];
    const std::uint64_t chunks = at.chunks();
    const std::uint64_t free_now = chunks < at.workers ? at.workers - chunks : 0;
    free += free_now - at.free;
    at.free = free_now;
    int level = has_room;
    if (free_now > 0) {
      level = std::min(63, has_room + level_of(free_now));
    } else if (chunks + std::max<std::uint64_t>(1, at.workers / 2) > 2 * at.workers) {
      level = is_full;
    }
    const auto member = static_cast<LevelLists::Member>(rank);
    if (to_back || levels.level(member) != level) levels.place(member, level);
  }
  void queue(Job& job) {
    if (ready.empty() || ready.back().number < job.number) return ready.push_back(Ready{job.number, &job});
    Ready* at = std::lower_bound(ready.begin(), ready.end(), job.number,
                                 [](const Ready& entry, std::uint64_t number) { return entry.number < number; });
    if (at->number == job.number) {
      at->job = &job;
    } else {
      ready.insert(static_cast<std::size_t>(at - ready.begin()), Ready{job.number, &job});
    }
  }
  void unqueue(const Job& job) {
    Ready* at = std::lower_bound(ready.begin(), ready.end(), job.number,
                                 [](const Ready& entry, std::uint64_t number) { return entry.number < number; });
    if (at != ready.end() && at->number == job.number) at->job = nullptr;
  }

  static constexpr int is_full = 0;   ///< two chunks per worker, or nearly
  static constexpr int has_room = 1;  ///< every worker has a chunk; above: the more free workers, the higher

  PoolId id;
  std::vector<Rank> ranks;
  LevelLists levels;
  std::uint64_t workers = 0;
  std::uint64_t free = 0;
  SlidingVector<Ready> ready;  ///< jobs with unsent tasks, in order of submission
  std::deque<Again> again;
  std::uint64_t unsent = 0;  ///< tasks never sent, of all jobs
  std::uint64_t season = 1;  ///< changes when there is something to send after there was nothing
  std::size_t jobs = 0;
  std::uint64_t next_number = 0;
  bool closed = false;
  Pace singles{true};
};

/// What is to be sent next: tasks of one block, in chunks of that size.
struct PoolScheduler::Offer {
  Job* job = nullptr;
  std::uint64_t chunk = 1;   ///< no more than there are tasks
  std::uint64_t chunks = 0;  ///< of the block
  std::uint64_t supply = 0;  ///< of everything that this stands for
  bool again = false;
  /// One of many small things, each of which needs a run of its own.
  bool small() const noexcept { return again || job->single(); }
};

}  // namespace rankpool::scheduler
