// The pure state machine of one rank: deals the runs it was sent to its own workers.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <variant>
#include <vector>

#include "scheduler/types.hpp"

namespace rankpool::scheduler {

using WorkerId = std::uint32_t;

/// Give these tasks to that worker, behind what it has.
struct Give {
  WorkerId worker;
  Run run;
  friend bool operator==(const Give&, const Give&) = default;
};
/// The worker has run its share of tasks and has nothing left: let it leave, and replace it.
struct Retire {
  WorkerId worker;
};
/// This task was begun by a worker that died.
struct TaskDied {
  JobId job;
  TaskIndex task;
};
using DealerAction = std::variant<Give, Retire, TaskDied>;

/// Keeps every worker of the rank busy with as little in its own queue as that takes: one chunk while chunks are long,
/// about 100 us of chunks in each of two gives while they are short. No I/O, no clock.
class RankDealer {
 public:
  RankDealer();
  ~RankDealer();
  RankDealer(const RankDealer&) = delete;
  RankDealer& operator=(const RankDealer&) = delete;

  /// A worker is ready. `max_tasks`: retire it after that many tasks; 0: never. Ignored if the worker is there already.
  void add_worker(PoolId pool, WorkerId worker, std::uint64_t max_tasks = 0);
  /// The worker died (or left). `begun`: tasks it had begun in its life. What it had begun and not finished dies
  /// (TaskDied); what was only queued goes to the others of its pool, first of all.
  void remove_worker(WorkerId worker, std::uint64_t begun);
  void add_run(PoolId pool, Run run);
  /// Tasks that ended in that worker, in the order they were given, and the computing time they took in all.
  /// False if the worker was not given them (the report is damaged: drop it).
  bool finished(WorkerId worker, JobId job, TaskIndex first, std::uint64_t count, Nanoseconds work);
  /// Forgets what is queued of the job; what is in the workers runs on and is reported as usual, but is not given to
  /// another worker any more.
  void forget_job(JobId job);
  /// Forgets the pool with everything queued; its workers may still be removed, without any action.
  void forget_pool(PoolId pool);

  /// Workers with tasks in them now.
  int busy() const noexcept { return busy_; }
  std::vector<DealerAction>& actions() noexcept { return actions_; }

 private:
  struct Portion;
  struct Worker;
  struct Pool;
  using Seat = std::uint32_t;  // index of a worker in workers_

  Pool& pool_of(PoolId id);
  Worker* find_worker(WorkerId id);
  bool hand(Pool& pool, Seat seat);
  std::uint64_t give(Pool& pool, Seat seat, std::uint64_t most, bool first);
  void deal(Pool& pool);
  void seat_by_load(Pool& pool, Seat seat);

  std::unordered_map<PoolId, std::unique_ptr<Pool>> pools_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unordered_map<WorkerId, Seat> seats_;
  std::vector<Seat> free_seats_;
  WorkerId recent_id_ = 0;  // the worker of the last report: reports come in series
  Worker* recent_ = nullptr;
  int busy_ = 0;
  std::vector<DealerAction> actions_;
};

}  // namespace rankpool::scheduler
