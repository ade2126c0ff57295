#include "scheduler/rank_dealer.hpp"

#include <algorithm>
#include <limits>
#include <optional>

#include "scheduler/deal_pace.hpp"
#include "scheduler/level_lists.hpp"
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
};

struct RankDealer::Worker {
  WorkerId id;
  Seat seat;
  Pool* pool;            ///< none: forgotten
  std::uint64_t budget;  ///< tasks it may still be given
  SlidingVector<Portion> given = {};
  std::uint64_t inside = 0;  ///< tasks given and not finished
  std::uint64_t finished = 0;
};

struct RankDealer::Pool {
  Measure measure(const Portion& portion) const noexcept {
    const DealPace* pace = paces.find(portion.run.job, portion.single);
    const std::uint64_t chunk = portion.run.chunk;
    if (pace == nullptr || pace->task_ns() * static_cast<double>(chunk) >= long_chunk_ns) return Measure{chunk, false};
    return Measure{std::max(chunk, pace->batch()), true};
  }

  SlidingVector<Portion> queue;
  std::uint64_t queued = 0;   ///< tasks
  LevelLists by_load;         ///< workers that may be given something, by the tasks inside
  std::uint64_t dealing = 0;  ///< how many these are
  DealPaces paces;
};

RankDealer::RankDealer() = default;
RankDealer::~RankDealer() = default;

RankDealer::Pool& RankDealer::pool_of(PoolId id) {
  std::unique_ptr<Pool>& pool = pools_[id];
  if (!pool) pool = std::make_unique<Pool>();
  return *pool;
}

RankDealer::Worker* RankDealer::find_worker(WorkerId id) {
  if (recent_ != nullptr && recent_id_ == id) return recent_;
  const auto found = seats_.find(id);
  if (found == seats_.end()) return nullptr;
  recent_id_ = id;
  return recent_ = workers_[found->second].get();
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

void RankDealer::remove_worker(WorkerId id, std::uint64_t begun) {
  Worker* worker = find_worker(id);
  if (worker == nullptr) return;
  const std::unique_ptr<Worker> gone = std::move(workers_[worker->seat]);
  recent_ = nullptr;
  seats_.erase(id);
  free_seats_.push_back(gone->seat);
  if (gone->inside > 0) --busy_;
  if (gone->pool == nullptr) return;
  Pool& pool = *gone->pool;
  if (gone->budget > 0) --pool.dealing;
  pool.by_load.remove(gone->seat);
  if (gone->inside > 0 && begun > gone->finished) {
    Run& run = gone->given.front().run;
    actions_.push_back(TaskDied{run.job, run.first});
    ++run.first;
    if (--run.count == 0) gone->given.pop_front();
  }
  for (std::size_t index = gone->given.size(); index-- > 0;) {
    const Portion& portion = gone->given[index];
    if (portion.forgotten) continue;
    pool.queue.push_front(portion);
    pool.queued += portion.run.count;
  }
  deal(pool);
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

void RankDealer::add_run(PoolId pool_id, Run run) {
  if (run.count == 0) return;
  run.chunk = std::max<std::uint64_t>(1, run.chunk);
  Pool& pool = pool_of(pool_id);
  pool.queue.push_back(Portion{run, run.count == 1});
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
  if (worker->pool == nullptr) return true;
  Pool& pool = *worker->pool;
  pool.paces.measured(job, single, count, work);
  if (worker->budget == 0) {
    if (worker->inside == 0) actions_.push_back(Retire{id});
    return true;
  }
  seat_by_load(pool, worker->seat);
  if (!pool.queue.empty()) hand(pool, worker->seat);
  return true;
}

void RankDealer::forget_job(JobId job) {
  for (const auto& [id, pool] : pools_) {
    pool->paces.forget(job);
    pool->queue.erase_if([&](const Portion& portion) {
      if (portion.run.job != job) return false;
      pool->queued -= portion.run.count;
      return true;
    });
  }
  for (const auto& worker : workers_) {
    if (!worker) continue;
    for (Portion& portion : worker->given) portion.forgotten |= portion.run.job == job;
  }
}

void RankDealer::forget_pool(PoolId id) {
  const auto found = pools_.find(id);
  if (found == pools_.end()) return;
  for (const auto& worker : workers_) {
    if (worker && worker->pool == found->second.get()) worker->pool = nullptr;
  }
  pools_.erase(found);
}

// --- dealing

void RankDealer::deal(Pool& pool) {
  while (!pool.queue.empty() && !pool.by_load.empty()) {
    if (!hand(pool, pool.by_load.front(pool.by_load.lowest()))) return;
  }
}

// Gives the worker its next batch, if it may have one now.
bool RankDealer::hand(Pool& pool, Seat seat) {
  Worker& worker = *workers_[seat];
  const Portion& head = pool.queue.front();
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
  if (worker.inside == 0) ++busy_;
  worker.inside += count;
  if (worker.budget != unlimited && (worker.budget -= count) == 0) --pool.dealing;
  worker.given.push_back(portion);
  actions_.push_back(Give{worker.id, portion.run});
  return count;
}

}  // namespace rankpool::scheduler
