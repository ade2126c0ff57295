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
#include "scheduler/priority_counts.hpp"
#include "scheduler/sliding_vector.hpp"

namespace rankpool::scheduler {

struct PoolScheduler::Job {
  static constexpr int nowhere = -1;
  static constexpr int many_ranks = -2;

  Job(JobId id_, Pool& pool_, std::uint64_t number_, JobOptions options)
      : id(id_),
        pool(&pool_),
        number(number_),
        retries(options.retries),
        priority(options.priority),
        policy(options.chunksize) {}

  bool complete() const noexcept { return all_known && ended == known; }
  /// Such jobs (`apply`) are measured together, since none of them lives to profit from its own report.
  bool single() const noexcept { return known <= 1; }
  std::uint64_t unsent() const noexcept { return left; }
  int losses_of(TaskIndex task) const {
    if (!losses) return 0;
    const auto found = losses->find(task);
    return found == losses->end() ? 0 : found->second;
  }

  JobId id;
  Pool* pool;
  std::uint64_t number;  ///< order of submission in its pool
  int retries;
  int priority;
  int rank = nowhere;  ///< the only rank that was sent something of it
  bool all_known = false;
  bool again = false;  ///< has been in Pool::again
  struct Block {
    TaskIndex first;
    TaskIndex last;  ///< behind the last task
  };

  TaskIndex known = 0;
  std::uint64_t left = 0;  ///< never sent
  TaskIndex next = 0;      ///< the first of these, if there are any
  std::uint64_t ended = 0;
  TaskIndex block_end = 0;      ///< of the block that `next` is in
  SlidingVector<Block> blocks;  ///< behind that one
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
  PriorityCounts by_priority;   ///< the chunks of the ledger
  std::uint64_t refill_at = 0;  ///< look for more when so few chunks are left, as seen
  std::uint64_t season = 0;     ///< in that season of the pool
  std::uint64_t idle = 0;       ///< workers that have nothing to do, however the tasks of chunks are dealt there
  bool over = false;            ///< more tasks than workers: some wait
  std::uint64_t sent = 0;       ///< tasks, in all
  std::uint64_t seen = 0;       ///< `sent` when `rebalance` looked last
  bool asked = false;           ///< between AskBack and `returned`
  bool barren = false;          ///< had nothing to give back; until it is sent or reports something
  bool stuck = false;           ///< was asked, and has reported nothing since: what waits there shall not come back
};

struct PoolScheduler::Pool {
  struct Ready {
    int priority = 0;
    std::uint64_t number = 0;
    Job* job = nullptr;  ///< none: it was cancelled

    bool before(const Ready& other) const noexcept {
      return priority != other.priority ? priority > other.priority : number < other.number;
    }
  };

  Pool(PoolId id_, std::vector<PoolId>& uneven) : id(id_), uneven_pools(&uneven) {}

  bool has_unsent() const noexcept { return unsent > 0 || !again.empty(); }
  Rank* find(int rank) noexcept {
    return rank >= 0 && static_cast<std::size_t>(rank) < ranks.size() ? &ranks[static_cast<std::size_t>(rank)]
                                                                      : nullptr;
  }
  /// After any change of the rank's workers or chunks. `to_back`: behind its equals.
  void sort(int rank, bool to_back = false) {
    Rank& at = ranks[static_cast<std::size_t>(rank)];
    const std::uint64_t chunks = at.chunks();
    const std::uint64_t tasks = at.ledger.tasks() + at.planned;
    const std::uint64_t idle_now = tasks < at.workers ? at.workers - tasks : 0;
    idle += idle_now - at.idle;
    at.idle = idle_now;
    over += static_cast<std::uint64_t>(tasks > at.workers) - static_cast<std::uint64_t>(at.over);
    at.over = tasks > at.workers;
    if (is_uneven() && !watched) {
      watched = true;
      uneven_pools->push_back(id);
    }
    const std::uint64_t free_now = at.stuck ? idle_now : chunks < at.workers ? at.workers - chunks : 0;
    free += free_now - at.free;
    at.free = free_now;
    int level = has_room;
    if (free_now > 0) {
      level = std::min(63, has_room + level_of(free_now));
    } else if (at.stuck || chunks + std::max<std::uint64_t>(1, at.workers / 2) > 2 * at.workers) {
      level = is_full;
    }
    const auto member = static_cast<LevelLists::Member>(rank);
    if (to_back || levels.level(member) != level) levels.place(member, level);
  }
  /// Do tasks wait at a rank while another one has nothing to do?
  bool is_uneven() const noexcept { return idle > 0 && over > 0; }
  /// Changes the ledger of the rank by a call of `change`, which concerns one priority.
  template <class Change>
  void book(Rank& at, int priority, Change&& change) {
    const std::uint64_t before = at.ledger.chunks();
    change(at.ledger);
    const std::uint64_t now = at.ledger.chunks();
    if (now > before) {
      at.by_priority.add(priority, now - before);
      under_way.add(priority, now - before);
    } else if (now < before) {
      at.by_priority.remove(priority, before - now);
      under_way.remove(priority, before - now);
    }
  }
  void queue(Job& job) {
    const Ready entry{job.priority, job.number, &job};
    if (ready.empty() || ready.back().before(entry)) return ready.push_back(entry);
    Ready* at = position(job);
    if (at->number == job.number) {
      at->job = &job;
    } else {
      ready.insert(static_cast<std::size_t>(at - ready.begin()), entry);
    }
  }
  void unqueue(const Job& job) {
    Ready* at = position(job);
    if (at != ready.end() && at->number == job.number) at->job = nullptr;
  }
  Ready* position(const Job& job) noexcept {
    return std::lower_bound(ready.begin(), ready.end(), Ready{job.priority, job.number, nullptr},
                            [](const Ready& entry, const Ready& wanted) { return entry.before(wanted); });
  }
  /// Behind those of its priority.
  void repeat(Job& job, Run run) {
    job.again = true;
    run.attempt = job.losses_of(run.first);
    run.priority = job.priority;
    const auto at = std::upper_bound(again.begin(), again.end(), run.priority,
                                     [](int priority, const Again& entry) { return priority > entry.run.priority; });
    again.insert(at, Again{&job, run});
  }
  bool again_is_next() const noexcept {
    return !again.empty() && (ready.empty() || again.front().run.priority >= ready.front().priority);
  }
  /// Of what is to be sent next, if there is something (if a job was cancelled, it may be less).
  int next_priority() const noexcept {
    return again_is_next() ? again.front().run.priority : ready.empty() ? 0 : ready.front().priority;
  }
  /// Should something go ahead of what was sent already?
  bool is_urgent(int priority) const noexcept { return priority > under_way.lowest(); }

  static constexpr int is_full = 0;   ///< two chunks per worker, or nearly
  static constexpr int has_room = 1;  ///< every worker has a chunk; above: the more free workers, the higher

  PoolId id;
  std::vector<Rank> ranks;
  LevelLists levels;
  std::uint64_t workers = 0;
  std::uint64_t free = 0;
  std::uint64_t idle = 0;
  std::uint64_t over = 0;  ///< ranks that are
  bool watched = false;    ///< is in uneven_pools
  std::vector<PoolId>* uneven_pools;
  PriorityCounts under_way;    ///< chunks sent and not ended
  SlidingVector<Ready> ready;  ///< jobs with unsent tasks, by priority, then in order of submission
  std::deque<Again> again;     ///< before those of its priority that were never sent
  std::uint64_t unsent = 0;    ///< tasks never sent, of all jobs
  std::uint64_t season = 1;    ///< changes when there is something to send after there was nothing
  std::size_t jobs = 0;
  std::uint64_t next_number = 0;
  bool closed = false;
  bool on_hold = false;
  Pace singles{true};
};

/// What is to be sent next: tasks of one block, in chunks of that size.
struct PoolScheduler::Offer {
  Job* job = nullptr;
  std::uint64_t chunk = 1;   ///< no more than there are tasks
  std::uint64_t chunks = 0;  ///< of the block
  std::uint64_t supply = 0;  ///< of everything that this stands for
  bool again = false;
  int priority() const noexcept { return job->priority; }
  /// One of many small things, each of which needs a run of its own.
  bool small() const noexcept { return again || job->single(); }
};

}  // namespace rankpool::scheduler
