#include "scheduler/rank_dealer.hpp"

#include <algorithm>
#include <limits>
#include <optional>

#include "scheduler/deal_pace.hpp"
#include "scheduler/level_lists.hpp"
#include "scheduler/priority_counts.hpp"
#include "scheduler/sliding_vector.hpp"

namespace rankpool::scheduler {

namespace {

constexpr double long_chunk_ns = 1e6;
constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

// How a worker may be loaded with the run at the head of the queue.
struct Measure {
  std::uint64_t batch;  // tasks at once
  bool ahead;           // also while it has something to do
};

}  // namespace

/// Tasks of one run that are queued, or in a worker.
struct RankDealer::Portion {
  Run run;
  bool single = false;     ///< the run came with one task
  bool forgotten = false;  ///< not to be given to anybody else
  bool stays = false;      ///< not to be given back

  Portion part(TaskIndex first, std::uint64_t count) const noexcept {
    Portion some = *this;
    some.run.first = first;
    some.run.count = count;
    return some;
  }
};

struct RankDealer::Worker {
  WorkerId id;
  Seat seat;
  Pool* pool;            ///< none: forgotten
  std::uint64_t budget;  ///< tasks it may still be given
  SlidingVector<Portion> given = {};
  std::uint64_t inside = 0;  ///< tasks given and not finished
  std::uint64_t finished = 0;
  bool asked_back = false;  ///< between Recall and `recalled`
  std::uint64_t seen = 0;   ///< tasks that it had been given in its life when `rebalance` looked last
  bool all_begun = false;   ///< it had begun all that is in it when that was looked at last; nothing was given since

  /// How many of the first of `given` are among the first `begun` of its life.
  std::uint64_t open(std::uint64_t begun) const noexcept {
    return begun > finished ? std::min(begun - finished, inside) : 0;
  }
};

struct RankDealer::Pool {
  explicit Pool(PoolId id_) : id(id_) {}

  /// May somebody who has nothing to do have what lies behind another task?
  bool is_uneven() const noexcept { return inside > busy && by_load.lowest() == 0 && queue.empty(); }
  Measure measure(const Portion& portion) const noexcept {
    const DealPace* pace = paces.find(portion.run.job, portion.single);
    const std::uint64_t chunk = portion.run.chunk;
    if (pace == nullptr || pace->task_ns() * static_cast<double>(chunk) >= long_chunk_ns) return Measure{chunk, false};
    return Measure{std::max(chunk, pace->batch()), true};
  }

  PoolId id;
  SlidingVector<Portion> queue;
  std::uint64_t queued = 0;           ///< tasks
  LevelLists by_load;                 ///< workers that may be given something, by the tasks inside
  std::uint64_t dealing = 0;          ///< how many these are
  std::uint64_t inside = 0;           ///< tasks in its workers
  std::uint64_t busy = 0;             ///< workers with tasks in them
  bool watched = false;               ///< is in uneven_
  bool held = false;                  ///< between prepare_give_back and give_back
  int lowest = PriorityCounts::none;  ///< no priority below this is in the workers and not known to be begun
  DealPaces paces;
};

RankDealer::RankDealer() = default;
RankDealer::~RankDealer() = default;

RankDealer::Pool& RankDealer::pool_of(PoolId id) {
  std::unique_ptr<Pool>& pool = pools_[id];
  if (!pool) pool = std::make_unique<Pool>(id);
  return *pool;
}

RankDealer::Worker* RankDealer::find_worker(WorkerId id) {
  if (recent_ != nullptr && recent_id_ == id) return recent_;
  const auto found = seats_.find(id);
  if (found == seats_.end()) return nullptr;
  recent_id_ = id;
  return recent_ = workers_[found->second].get();
}

const RankDealer::Worker* RankDealer::find_worker(WorkerId id) const {
  const auto found = seats_.find(id);
  return found == seats_.end() ? nullptr : workers_[found->second].get();
}

// --- workers

void RankDealer::add_worker(PoolId pool_id, WorkerId id, std::uint64_t max_tasks) {
  if (find_worker(id) != nullptr) return;
  Pool& pool = pool_of(pool_id);
  Seat seat = static_cast<Seat>(workers_.size());
  if (free_seats_.empty()) {
    workers_.emplace_back();
  } else {
    seat = free_seats_.back();
    free_seats_.pop_back();
  }
  workers_[seat] = std::make_unique<Worker>(Worker{id, seat, &pool, max_tasks == 0 ? unlimited : max_tasks});
  seats_.emplace(id, seat);
  ++pool.dealing;
  seat_by_load(pool, seat);
  deal(pool);
}

void RankDealer::remove_worker(WorkerId id, std::uint64_t begun, bool blame) {
  Worker* worker = find_worker(id);
  if (worker == nullptr) return;
  const std::unique_ptr<Worker> gone = std::move(workers_[worker->seat]);
  recent_ = nullptr;
  seats_.erase(id);
  free_seats_.push_back(gone->seat);
  if (gone->inside > 0) --busy_;
  if (gone->pool == nullptr) return;
  Pool& pool = *gone->pool;
  pool.inside -= gone->inside;
  if (gone->inside > 0) --pool.busy;
  if (gone->budget > 0) --pool.dealing;
  pool.by_load.remove(gone->seat);
  const std::uint64_t to_blame = blame ? gone->open(begun) : 0;  // counted from 1
  std::uint64_t behind = gone->inside;
  for (std::size_t index = gone->given.size(); index-- > 0;) {
    const Portion& portion = gone->given[index];
    const std::uint64_t before = behind - portion.run.count;
    if (before < to_blame && to_blame <= behind) {
      const TaskIndex task = portion.run.first + (to_blame - before - 1);
      put_back(pool, portion.part(task + 1, behind - to_blame));
      actions_.push_back(TaskDied{portion.run.job, task});
      put_back(pool, portion.part(portion.run.first, to_blame - before - 1));
    } else {
      put_back(pool, portion);
    }
    behind = before;
  }
  deal(pool);
}

void RankDealer::recalled(WorkerId id, std::uint64_t begun, std::optional<JobId> dropped) {
  Worker* worker = find_worker(id);
  if (worker == nullptr) return;
  worker->asked_back = false;
  if (worker->pool == nullptr) return;
  Pool& pool = *worker->pool;
  const std::uint64_t back = worker->inside - worker->open(begun);
  for (std::uint64_t left = back; left > 0;) {
    Portion& last = worker->given.back();
    const std::uint64_t here = std::min(left, last.run.count);
    last.run.count -= here;
    left -= here;
    if (last.run.job != dropped) put_back(pool, last.part(last.run.first + last.run.count, here));
    if (last.run.count == 0) worker->given.erase(worker->given.size() - 1);
  }
  worker->inside -= back;
  pool.inside -= back;
  if (back > 0 && worker->inside == 0) {
    --busy_;
    --pool.busy;
  }
  if (back > 0 && worker->budget != unlimited) {
    if (worker->budget == 0) ++pool.dealing;
    worker->budget += back;
  }
  worker->all_begun = worker->inside > 0;
  seat_by_load(pool, worker->seat);
  deal(pool);
}

// In front of its equals.
void RankDealer::put_back(Pool& pool, const Portion& portion) {
  if (portion.forgotten || portion.run.count == 0) return;
  const Portion* at =
      std::lower_bound(pool.queue.begin(), pool.queue.end(), portion.run.priority,
                       [](const Portion& queued, int priority) { return queued.run.priority > priority; });
  pool.queue.insert(static_cast<std::size_t>(at - pool.queue.begin()), portion);
  pool.queued += portion.run.count;
}

// From all workers, what is of lower priority and may not have been begun.
void RankDealer::recall_below(Pool& pool, int priority) {
  pool.lowest = PriorityCounts::none;
  for (const auto& worker : workers_) {
    if (!worker || worker->pool != &pool || worker->inside == 0 || worker->all_begun || worker->asked_back) continue;
    const int last = worker->given.back().run.priority;
    if (last < priority) {
      worker->asked_back = true;
      actions_.push_back(Recall{worker->id});
    } else {
      pool.lowest = std::min(pool.lowest, last);
    }
  }
}

void RankDealer::seat_by_load(Pool& pool, Seat seat) {
  const Worker& worker = *workers_[seat];
  const int level = level_of(worker.inside);
  if (worker.budget == 0) {
    pool.by_load.remove(seat);
  } else if (pool.by_load.level(seat) != level) {
    pool.by_load.place(seat, level);
  }
}

// --- runs

void RankDealer::add_run(PoolId pool_id, Run run, bool stays) {
  if (run.count == 0) return;
  run.chunk = std::max<std::uint64_t>(1, run.chunk);
  Pool& pool = pool_of(pool_id);
  const Portion portion{run, run.count == 1, false, stays};
  if (pool.queue.empty() || pool.queue.back().run.priority >= run.priority) {
    pool.queue.push_back(portion);
  } else {
    const Portion* at =
        std::upper_bound(pool.queue.begin(), pool.queue.end(), run.priority,
                         [](int priority, const Portion& queued) { return priority > queued.run.priority; });
    pool.queue.insert(static_cast<std::size_t>(at - pool.queue.begin()), portion);
  }
  pool.queued += run.count;
  deal(pool);
}

bool RankDealer::finished(WorkerId id, JobId job, TaskIndex first, std::uint64_t count, Nanoseconds work) {
  Worker* worker = find_worker(id);
  if (worker == nullptr || count == 0 || count > worker->inside) return false;
  TaskIndex next = first;
  std::uint64_t left = count;
  for (const Portion* portion = worker->given.begin(); left > 0; ++portion) {
    if (portion->run.job != job || portion->run.first != next) return false;
    const std::uint64_t here = std::min(left, portion->run.count);
    next += here;
    left -= here;
  }
  const bool single = worker->given.front().single;
  for (left = count; left > 0;) {
    Run& run = worker->given.front().run;
    const std::uint64_t here = std::min(left, run.count);
    left -= here;
    run.first += here;
    run.count -= here;
    if (run.count == 0) worker->given.pop_front();
  }
  worker->inside -= count;
  worker->finished += count;
  if (worker->inside == 0) --busy_;
  worker->all_begun = false;
  if (worker->pool == nullptr) return true;
  Pool& pool = *worker->pool;
  pool.inside -= count;
  if (worker->inside == 0) --pool.busy;
  pool.paces.measured(job, single, count, work);
  if (worker->budget == 0) {
    if (worker->inside == 0) actions_.push_back(Retire{id});
    watch(pool);
    return true;
  }
  seat_by_load(pool, worker->seat);
  if (!pool.queue.empty()) hand(pool, worker->seat);
  watch(pool);
  return true;
}

void RankDealer::forget_job(JobId job) {
  for (const auto& [id, pool] : pools_) {
    pool->queue.erase_if([&](const Portion& portion) {
      if (portion.run.job != job) return false;
      pool->queued -= portion.run.count;
      return true;
    });
  }
  for (const auto& worker : workers_) {
    if (!worker || worker->pool == nullptr) continue;
    bool holds = false;
    for (Portion& portion : worker->given) {
      if (portion.run.job != job) continue;
      holds = portion.forgotten = true;
    }
    if (!holds || worker->all_begun || worker->asked_back) continue;
    worker->asked_back = true;
    actions_.push_back(Recall{worker->id});
  }
  job_ended(job);
}

void RankDealer::job_ended(JobId job) {
  for (const auto& [id, pool] : pools_) pool->paces.forget(job);
}

void RankDealer::forget_pool(PoolId id) {
  const auto found = pools_.find(id);
  if (found == pools_.end()) return;
  for (const auto& worker : workers_) {
    if (worker && worker->pool == found->second.get()) worker->pool = nullptr;
  }
  std::erase(uneven_, id);
  pools_.erase(found);
}

// --- tasks behind others

void RankDealer::watch(Pool& pool) {
  if (pool.watched || !pool.is_uneven()) return;
  pool.watched = true;
  uneven_.push_back(pool.id);
}

void RankDealer::rebalance() {
  std::erase_if(uneven_, [this](PoolId id) {
    Pool& pool = *pools_.at(id);
    pool.watched = even_out(pool);
    return !pool.watched;
  });
}

// Recalls from the fullest of the workers that had a task behind another when this looked last, and have it still. From
// one at a time: what comes back may be enough. False if there is nothing to wait for before something changes.
bool RankDealer::even_out(Pool& pool) {
  if (!pool.is_uneven()) return false;
  Worker* fullest = nullptr;
  bool any = false;
  for (const auto& worker : workers_) {
    if (!worker || worker->pool != &pool || worker->inside < 2 || worker->all_begun || worker->asked_back) continue;
    any = true;
    const bool stands = worker->finished + 1 < worker->seen;
    worker->seen = worker->finished + worker->inside;
    if (stands && (fullest == nullptr || fullest->inside < worker->inside)) fullest = worker.get();
  }
  if (fullest != nullptr) {
    fullest->asked_back = true;
    actions_.push_back(Recall{fullest->id});
  }
  return any;
}

std::uint64_t RankDealer::idle_workers(const Pool& pool) const {
  return static_cast<std::uint64_t>(std::count_if(workers_.begin(), workers_.end(), [&pool](const auto& worker) {
    return worker && worker->pool == &pool && worker->inside == 0 && worker->budget > 0;
  }));
}

void RankDealer::prepare_give_back(PoolId id, std::uint64_t count) {
  const auto found = pools_.find(id);
  if (found == pools_.end()) return;
  Pool& pool = *found->second;
  pool.held = true;
  if (pool.queued < count) recall_all(&pool, count == everything ? 1 : 2);
}

// From the workers of the pool (none: of any) that have so many tasks: the first is begun soon, if not yet.
void RankDealer::recall_all(const Pool* pool, std::uint64_t from) {
  for (const auto& worker : workers_) {
    if (!worker || worker->pool == nullptr || (pool != nullptr && worker->pool != pool)) continue;
    if (worker->inside < from || worker->all_begun || worker->asked_back) continue;
    worker->asked_back = true;
    actions_.push_back(Recall{worker->id});
  }
}

void RankDealer::stop() {
  stopped_ = true;
  recall_all(nullptr, 1);
}

std::vector<Run> RankDealer::give_back(PoolId id, std::uint64_t count) {
  std::vector<Run> runs;
  const auto found = pools_.find(id);
  if (found == pools_.end()) return runs;
  Pool& pool = *found->second;
  pool.held = false;
  std::uint64_t keep = count == everything ? 0 : idle_workers(pool);
  for (std::size_t next = 0; next < pool.queue.size() && count > 0;) {
    Portion& portion = pool.queue[next];
    const std::uint64_t kept = std::min(keep, portion.run.count);
    keep -= kept;
    const std::uint64_t back = portion.stays ? 0 : std::min(count, portion.run.count - kept);
    if (back == 0) {
      ++next;
      continue;
    }
    runs.push_back(portion.part(portion.run.first + kept, back).run);
    count -= back;
    pool.queued -= back;
    const Portion behind = portion.part(portion.run.first + kept + back, portion.run.count - kept - back);
    portion.run.count = kept;
    if (behind.run.count > 0) pool.queue.insert(next + 1, behind);
    if (kept > 0) {
      ++next;
    } else {
      pool.queue.erase(next);
    }
  }
  deal(pool);
  return runs;
}

// --- questions

std::optional<RankDealer::Place> RankDealer::find(PoolId pool, JobId job) const {
  const auto found = pools_.find(pool);
  if (found == pools_.end()) return std::nullopt;
  for (const auto& worker : workers_) {
    if (!worker || worker->pool != found->second.get()) continue;
    std::uint64_t number = worker->finished + 1;
    for (const Portion& portion : worker->given) {
      if (portion.run.job == job) return Place{worker->id, number};
      number += portion.run.count;
    }
  }
  const auto& queue = found->second->queue;
  const bool queued =
      std::any_of(queue.begin(), queue.end(), [job](const Portion& portion) { return portion.run.job == job; });
  return queued ? std::optional<Place>(Place{}) : std::nullopt;
}

std::optional<JobId> RankDealer::job_of(WorkerId id, std::uint64_t number) const {
  const Worker* worker = find_worker(id);
  if (worker == nullptr || number <= worker->finished) return std::nullopt;
  std::uint64_t last = worker->finished;
  for (const Portion& portion : worker->given) {
    last += portion.run.count;
    if (number <= last) return portion.run.job;
  }
  return std::nullopt;
}

std::uint64_t RankDealer::last_given(WorkerId id) const {
  const Worker* worker = find_worker(id);
  return worker == nullptr ? 0 : worker->finished + worker->inside;
}

// --- dealing

void RankDealer::deal(Pool& pool) {
  if (pool.held || stopped_) return;
  while (!pool.queue.empty() && !pool.by_load.empty()) {
    if (!hand(pool, pool.by_load.front(pool.by_load.lowest()))) break;
  }
  if (!pool.queue.empty() && pool.queue.front().run.priority > pool.lowest) {
    recall_below(pool, pool.queue.front().run.priority);
  }
  watch(pool);
}

// Gives the worker its next batch, if it may have one now.
bool RankDealer::hand(Pool& pool, Seat seat) {
  Worker& worker = *workers_[seat];
  const Portion& head = pool.queue.front();
  if (worker.asked_back || stopped_) return false;
  if (worker.inside > 0 && (worker.all_begun || worker.given.back().run.priority < head.run.priority)) return false;
  const Measure measure = pool.measure(head);
  const std::uint64_t share = (pool.queued + pool.dealing - 1) / pool.dealing;
  if (worker.inside > 0) {
    // What lies in the queue can still go to whoever is free first, so the last tasks stay there.
    if (!measure.ahead || worker.inside > measure.batch || pool.queued / head.run.chunk < pool.dealing) return false;
  }
  std::uint64_t most = std::min(measure.batch, std::max(share, head.run.chunk));
  const JobId job = head.run.job;
  bool first = true;
  while (most > 0 && worker.budget > 0 && !pool.queue.empty()) {
    const Portion& next = pool.queue.front();
    if (next.run.job != job && !pool.measure(next).ahead) break;
    const std::uint64_t given = give(pool, seat, most, first);
    if (given == 0) break;
    most -= std::min(most, given);
    first = false;
    if (!measure.ahead) break;
  }
  seat_by_load(pool, seat);
  return true;
}

// At most so many tasks of the first portion, in whole chunks; but always one chunk if it is the `first` of a batch.
std::uint64_t RankDealer::give(Pool& pool, Seat seat, std::uint64_t most, bool first) {
  Worker& worker = *workers_[seat];
  Portion& head = pool.queue.front();
  const std::uint64_t chunk = head.run.chunk;
  std::uint64_t count = most / chunk * chunk;
  if (most >= head.run.count) {
    count = head.run.count;
  } else if (count == 0) {
    if (!first) return 0;
    count = std::min(chunk, head.run.count);
  }
  count = std::min(count, worker.budget);

  Portion portion = head;
  portion.run.count = count;
  head.run.first += count;
  head.run.count -= count;
  const std::uint64_t cut = count % chunk;
  if (head.run.count == 0) {
    pool.queue.pop_front();
  } else if (cut != 0 && head.run.count > chunk - cut) {
    // The budget ended within a chunk: the rest of that chunk stays one.
    Portion rest = head;
    rest.run.count = chunk - cut;
    head.run.first += rest.run.count;
    head.run.count -= rest.run.count;
    pool.queue.push_front(rest);
  }
  pool.queued -= count;
  if (worker.inside == 0) {
    ++busy_;
    ++pool.busy;
  }
  worker.inside += count;
  pool.inside += count;
  if (worker.budget != unlimited && (worker.budget -= count) == 0) --pool.dealing;
  worker.given.push_back(portion);
  pool.lowest = std::min(pool.lowest, portion.run.priority);
  actions_.push_back(Give{worker.id, portion.run});
  return count;
}

}  // namespace rankpool::scheduler
