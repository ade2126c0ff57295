// The pure state machine of one rank: deals the runs it was sent to its own workers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
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
/// Take back what the worker has not begun, and tell by `recalled`; until then it is given nothing.
struct Recall {
  WorkerId worker;
};
using DealerAction = std::variant<Give, Retire, TaskDied, Recall>;

/// Keeps every worker of the rank busy with as little in its own queue as that takes: one chunk while chunks are long,
/// about 100 us of chunks in each of two gives while they are short. Higher priorities first; what is of lower priority
/// and not begun is taken back from the workers for that, and so is what lies behind a task that does not end while
/// others have nothing to do. No I/O, no clock.
///
/// The tasks of a worker are numbered from 1 in the order in which it begins them in its life.
class RankDealer {
 public:
  RankDealer();
  ~RankDealer();
  RankDealer(const RankDealer&) = delete;
  RankDealer& operator=(const RankDealer&) = delete;

  /// A worker is ready. `max_tasks`: retire it after that many tasks; 0: never. Ignored if the worker is there already.
  void add_worker(PoolId pool, WorkerId worker, std::uint64_t max_tasks = 0);
  /// The worker died (or left). `begun`: tasks it had begun in its life. The last of these, if it has not finished,
  /// dies (TaskDied), unless it was not to `blame`; all others go to the workers of the pool, first of all.
  void remove_worker(WorkerId worker, std::uint64_t begun, bool blame = true);
  /// The worker has begun so many tasks in its life and begins no other that it was given before this call: they go
  /// back to the queue, but for those of the job that is `dropped`.
  void recalled(WorkerId worker, std::uint64_t begun, std::optional<JobId> dropped = {});
  /// `stays`: not to be given back.
  void add_run(PoolId pool, Run run, bool stays = false);
  /// Tasks that ended in that worker, in the order they were given, and the computing time they took in all.
  /// False if the worker was not given them (the report is damaged: drop it).
  bool finished(WorkerId worker, JobId job, TaskIndex first, std::uint64_t count, Nanoseconds work);
  /// Does somebody have nothing to do while another has tasks that he may not have begun? Then call `rebalance` about
  /// every millisecond.
  bool uneven() const noexcept { return !uneven_.empty(); }
  /// Recalls what has lain behind another task since the last call, while somebody in the pool has nothing to do: the
  /// task in front may take long, or wait for one behind it.
  void rebalance();
  /// Deals nothing any more, and takes back what no worker has begun.
  void stop();
  /// So many tasks of the pool are to be given back: recalls what is not begun if the queue has too few. Nothing is
  /// dealt until `give_back`, which must follow when that was answered.
  void prepare_give_back(PoolId pool, std::uint64_t count);
  /// Forgets so many tasks, or as many as nobody here could begin at once, and returns them in order. With `everything`
  /// also those.
  std::vector<Run> give_back(PoolId pool, std::uint64_t count);
  /// Forgets what is queued of the job and takes back what is in the workers; what is begun there runs on and is
  /// reported as usual.
  void forget_job(JobId job);
  /// The same for a job of which nothing is left here.
  void job_ended(JobId job);
  /// Forgets the pool with everything queued; its workers may still be removed, without any action.
  void forget_pool(PoolId pool);

  /// Where a task is: in that worker, as the task of that number in its life, or in the queue (number 0).
  struct Place {
    WorkerId worker = 0;
    std::uint64_t number = 0;
    friend bool operator==(const Place&, const Place&) = default;
  };
  /// Of the first task of the job that is here; none: it has ended, or died. Takes time in proportion to all tasks.
  std::optional<Place> find(PoolId pool, JobId job) const;
  /// The job of a task that is in the worker.
  std::optional<JobId> job_of(WorkerId worker, std::uint64_t number) const;
  /// The number of the last task that the worker was given and that was not taken back.
  std::uint64_t last_given(WorkerId worker) const;

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
  const Worker* find_worker(WorkerId id) const;
  bool hand(Pool& pool, Seat seat);
  std::uint64_t give(Pool& pool, Seat seat, std::uint64_t most, bool first);
  void deal(Pool& pool);
  void put_back(Pool& pool, const Portion& portion);
  void recall_below(Pool& pool, int priority);
  void recall_all(const Pool* pool, std::uint64_t from);
  void watch(Pool& pool);
  bool even_out(Pool& pool);
  std::uint64_t idle_workers(const Pool& pool) const;
  void seat_by_load(Pool& pool, Seat seat);

  std::unordered_map<PoolId, std::unique_ptr<Pool>> pools_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unordered_map<WorkerId, Seat> seats_;
  std::vector<Seat> free_seats_;
  WorkerId recent_id_ = 0;  // the worker of the last report: reports come in series
  Worker* recent_ = nullptr;
  int busy_ = 0;
  bool stopped_ = false;
  std::vector<PoolId> uneven_;  // pools to look at in `rebalance`
  std::vector<DealerAction> actions_;
};

}  // namespace rankpool::scheduler
