// The pure state machine behind all pools of a job: events in, actions out.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <variant>
#include <vector>

#include "scheduler/chunk_policy.hpp"
#include "scheduler/types.hpp"

namespace rankpool::scheduler {

/// Send this run to that rank; it lies within one block of `add_items`.
struct SendRun {
  int rank;
  Run run;
};
/// The task will not be run again: its worker died in each of `attempts` runs.
struct FailTask {
  JobId job;
  TaskIndex task;
  int rank;  ///< where it was lost last
  Loss loss;
  int attempts;
};
/// Every task of the job has ended; the scheduler has forgotten it.
struct EndJob {
  JobId job;
};
/// The pool was closed and has nothing left to do: its workers may leave. The scheduler has forgotten it.
struct EndPool {
  PoolId pool;
};
/// The rank shall give back so many tasks that it has not begun; `returned` follows.
struct AskBack {
  int rank;
  PoolId pool;
  std::uint64_t count;  ///< or `everything`
};
using Action = std::variant<SendRun, FailTask, EndJob, EndPool, AskBack>;

struct JobOptions {
  std::uint64_t chunksize = 0;  ///< 0: automatic
  int retries = 0;              ///< a lost task is run at most retries + 1 times
  int priority = 0;             ///< higher first
};

/// Decides which rank runs which tasks, and when. No I/O, no clock: time comes as measured work in `finished`. Jobs of
/// a pool are served by priority, then in order of submission. Events about jobs and pools that are unknown (ended,
/// cancelled, terminated) are ignored.
class PoolScheduler {
 public:
  PoolScheduler();
  ~PoolScheduler();
  PoolScheduler(const PoolScheduler&) = delete;
  PoolScheduler& operator=(const PoolScheduler&) = delete;

  /// `workers[r]`: workers of this pool on rank r; the sum is at least 1.
  void open_pool(PoolId pool, std::vector<int> workers);
  /// That many workers of the pool live on that rank now. While it is 0 nothing is sent there.
  void set_workers(PoolId pool, int rank, int workers);
  /// No more jobs; EndPool once all have ended (at once if there are none).
  void close_pool(PoolId pool);
  /// Sends nothing more of the pool, and asks for all that was sent and is not begun. For good.
  void hold_pool(PoolId pool);
  /// Tasks of the pool that were sent and have not ended or come back.
  std::uint64_t under_way(PoolId pool) const;
  /// Takes jobs again, until the next `close_pool`.
  void reopen_pool(PoolId pool);
  /// Forgets the pool and its jobs; no actions about them any more.
  void terminate_pool(PoolId pool);

  /// Ignored if the pool is closed.
  void submit(JobId job, PoolId pool, JobOptions options);
  /// The next `count` items of the job are here; together they are one block. Tasks are numbered in this order from 0.
  void add_items(JobId job, std::uint64_t count);
  /// The next `count` tasks of the job have ended already: they are numbered, and that is all.
  void skip_items(JobId job, std::uint64_t count);
  /// There are no more items. EndJob follows when all tasks have ended (at once if there are none).
  void end_items(JobId job);
  /// Forgets the job.
  void cancel(JobId job);

  /// These tasks ended (with a value or an error) on that rank after `work` of computing in all.
  /// False, and nothing changed, if the report must be dropped: the job is unknown, or one of the tasks had ended
  /// already or was not under way there.
  bool finished(int rank, JobId job, TaskIndex first, std::uint64_t count, Nanoseconds work);
  /// The task was begun on that rank and died with its worker: it is run again (first of all, and no longer with others
  /// behind it in the same run), or fails. False as above.
  bool lost(int rank, JobId job, TaskIndex task, Loss loss);
  /// The answer to AskBack. These tasks are sent once more, before others, and to ranks with free workers first; this
  /// counts as nobody's attempt. Returns those of the runs that were under way there.
  std::vector<Run> returned(int rank, PoolId pool, std::vector<Run> runs);
  /// Does a rank have more tasks than workers while another has fewer? Then call `rebalance` every few milliseconds.
  bool uneven() const noexcept { return !uneven_.empty(); }
  /// Asks for what has waited at such a rank since the last call: a task there may take long, or wait for one of these.
  void rebalance();
  /// These tasks, which lie in one block, had ended, but what came of them is lost: they are run again, first of all.
  /// This counts as nobody's attempt. Ignored unless the job goes on.
  void run_again(JobId job, TaskIndex first, std::uint64_t count);
  /// The rank is gone for good: what was under way there is run again on the others, first of all. This counts as
  /// nobody's attempt, since it does not tell which task was to blame. Returns what that was.
  std::vector<Run> lose_rank(int rank);

  /// The rank where a job of one task has it; none if the task waits here, or the job is unknown.
  std::optional<int> rank_of(JobId job);

  /// Round trip of an empty task as measured; automatic chunks aim at max(50 of these, 1 ms).
  void set_round_trip(Nanoseconds round_trip);

  /// What is to be done now, in order; the caller clears it.
  std::vector<Action>& actions() noexcept { return actions_; }

 private:
  struct Job;
  struct Again;
  struct Rank;
  struct Pool;
  struct Offer;

  Job* find_job(JobId id);
  Pool* find_pool(PoolId id);
  Offer next_offer(Pool& pool);
  std::uint64_t window(const Pool& pool, const Rank& rank, const Offer& offer) const;
  std::uint64_t allowance(const Pool& pool, const Rank& rank, const Offer& offer, bool any) const;
  std::uint64_t urgent_allowance(const Pool& pool, const Rank& rank, const Offer& offer) const;
  std::uint64_t send(Pool& pool, int rank, const Offer& offer, std::uint64_t chunks);
  bool serve(Pool& pool, int rank);
  void serve_all(Pool& pool);
  void serve_urgent(Pool& pool);
  void spread(Pool& pool, const Offer& offer);
  bool ask_back(Pool& pool);
  void forget(Job& job);
  void end_if_complete(Job& job);
  void end_if_idle(Pool& pool);

  std::unordered_map<PoolId, std::unique_ptr<Pool>> pools_;
  std::unordered_map<JobId, std::unique_ptr<Job>> jobs_;
  Job* recent_ = nullptr;  // the job of the last event: most events come in series
  Timing timing_;
  std::vector<std::uint32_t> touched_;
  std::vector<PoolId> uneven_;  // pools to look at in `rebalance`
  std::vector<Action> actions_;
};

}  // namespace rankpool::scheduler
