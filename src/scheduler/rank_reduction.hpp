// The pure state machine of one rank for one job whose values are reduced to one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <unordered_map>
#include <variant>
#include <vector>

#include "scheduler/rank_dealer.hpp"
#include "scheduler/task_set.hpp"
#include "scheduler/types.hpp"

namespace rankpool::scheduler {

/// Each worker reduces the values of its tasks to one, which it keeps; so these tasks are lost with it, although the
/// scheduler was told that they have ended. This knows what is where, has lost tasks run again, and in the end brings
/// everything together in one worker. A value that has left its worker is called a partial; it is in the hands of the
/// rank, and stays there until a partial that contains it has come. No I/O, no clock.
class RankReduction {
 public:
  using PartialId = std::uint64_t;

  /// Deal these tasks once more, without telling the scheduler.
  struct Rerun {
    TaskIndex first;
    std::uint64_t count;
  };
  /// These tasks will not be run again.
  struct Release {
    TaskIndex first;
    std::uint64_t count;
  };
  /// Ask the worker for its value. `keep`: it goes on with it.
  struct Flush {
    WorkerId worker;
    bool keep;
  };
  /// Give the worker this partial, to be reduced into its value.
  struct Merge {
    WorkerId worker;
    PartialId partial;
  };
  /// The partial is contained in another one.
  struct Discard {
    PartialId partial;
  };
  /// All is together. None: there is no value.
  struct Finish {
    std::optional<PartialId> partial;
  };
  /// Workers have died again and again while they reduced.
  struct GiveUp {
    int deaths;
  };
  using Action = std::variant<Rerun, Release, Flush, Merge, Discard, Finish, GiveUp>;

  struct Options {
    int runs = 1;           ///< how often a task may be begun once its value was lost
    bool may_grow = false;  ///< the value may become so large that copying it takes time
  };
  /// `spare` finds a worker that can be given something.
  RankReduction(Options options, std::function<std::optional<WorkerId>()> spare)
      : options_(options), spare_(std::move(spare)) {}

  /// Tasks that the scheduler believes to have ended, and that must be run once more.
  TaskSet::Part owed(TaskIndex first, std::uint64_t count) const { return owed_.part(first, count); }
  /// The worker has reduced these tasks into its value.
  void folded(WorkerId worker, TaskIndex first, std::uint64_t count, Nanoseconds work);
  /// This owed task has thrown: the job has failed.
  void failed(TaskIndex task);
  /// This owed task was begun by a worker that died. How often that has happened, if it must not be run again.
  std::optional<int> lost(TaskIndex task);

  /// Somebody may be there for `spare` who was not before.
  void worker_ready() { advance(); }
  /// It gets no more tasks, and leaves when it has done what it was asked for.
  void worker_leaves(WorkerId worker);
  /// It has died. `idle`: no task had been begun in it.
  void worker_died(WorkerId worker, bool idle);
  /// The answer to the oldest Flush of that worker, and the time that it took. None: it has no value, or that cannot be
  /// copied.
  void flushed(WorkerId worker, std::optional<PartialId> partial, Nanoseconds work);

  /// All tasks have ended, and the partials of so many ranks will come.
  void start(std::uint64_t ranks);
  /// One of these has come. None: that rank had no value.
  void from_rank(std::optional<PartialId> partial);

  std::vector<Action>& actions() noexcept { return actions_; }

 private:
  /// What a worker's value consists of, beyond what the rank has in its hands.
  struct Holder {
    TaskSet tasks;
    std::vector<PartialId> merged;
    std::optional<PartialId> copy;         // of its value as it was, without the above
    Nanoseconds work{0};                   // of those tasks
    std::optional<Nanoseconds> copy_work;  // what the copy took
    bool copyable = true;                  // as far as is known
    bool copying = false;                  // asked for a copy
    bool ending = false;                   // asked for the value itself
  };

  void ask(WorkerId worker, Holder& holder, bool keep);
  void ask_for_copy(WorkerId worker, Holder& holder);
  void merge(WorkerId worker, Holder& holder);
  void advance();

  Options options_;
  std::function<std::optional<WorkerId>()> spare_;
  std::map<WorkerId, Holder> holders_;
  std::vector<PartialId> loose_;  // partials that nobody has
  TaskSet owed_;
  std::unordered_map<TaskIndex, int> losses_;  // of owed tasks
  int deaths_ = 0;                             // of workers that reduced
  bool started_ = false;
  bool finished_ = false;
  std::uint64_t awaited_ = 0;  // ranks whose partials have not come
  std::vector<Action> actions_;
};

}  // namespace rankpool::scheduler
