#include "history.hpp"

#include <algorithm>
#include <utility>

namespace rankpool::simulation {

using scheduler::Run;

enum class What {
  act,             // of the user: the next step of the script
  run_to_rank,     // master -> rank
  forget_job,      // master -> rank
  forget_pool,     // master -> rank
  leave,           // master -> rank: the workers of the pool may go
  give,            // rank -> worker
  task_ends,       // in a worker
  worker_report,   // worker -> rank
  worker_gone,     // worker -> rank
  kill,            // from outside
  rank_report,     // rank -> master
  rank_lost_task,  // rank -> master
  worker_count,    // rank -> master
};

struct History::Event {
  What what;
  int rank = 0;
  int worker = 0;
  PoolId pool = 0;
  Run run{0, 0, 0, 1};
  int count = 0;
};

namespace {
constexpr int to_rank = 1000;
constexpr int from_rank = 2000;
constexpr int to_worker = 100'000;
constexpr int from_worker = 50'000'000;
constexpr int no_channel = -1;
}  // namespace

History::History(std::uint64_t seed) : random_(seed) {}
History::~History() = default;

std::uint64_t History::random(std::uint64_t below) { return random_() % below; }

bool History::chance(double probability) { return std::uniform_real_distribution<double>(0, 1)(random_) < probability; }

void History::fail(const std::string& what) {
  if (failure_.empty()) failure_ = what + " (at " + std::to_string(now_) + ")";
}

void History::post(int channel, Event event) {
  std::uint64_t at = now_ + 1 + random(longest_delay_);
  if (channel != no_channel) {
    at = std::max(at, last_on_channel_[channel]);
    last_on_channel_[channel] = at;
  }
  events_.emplace(at, event);
}

std::string History::run() {
  const int ranks = 1 + static_cast<int>(random(4));
  longest_delay_ = std::uint64_t{1} << random(12);
  death_ = chance(0.5) ? 0 : chance(0.8) ? 0.05 : 0.4;
  damage_ = chance(0.5) ? 0.1 : 0;
  for (int rank = 0; rank < ranks; ++rank) {
    dealers_.push_back(std::make_unique<scheduler::RankDealer>());
    rank_lives_.push_back(true);
  }
  if (chance(0.3)) scheduler_.set_round_trip(scheduler::Nanoseconds(1 + random(200'000)));
  const PoolId pools = 1 + random(3);
  for (PoolId id = 1; id <= pools; ++id) {
    Pool& pool = pools_[id];
    for (int rank = 0; rank < ranks; ++rank) pool.workers.push_back(static_cast<int>(random(4)));
    if (std::all_of(pool.workers.begin(), pool.workers.end(), [](int count) { return count == 0; })) {
      pool.workers.back() = 1;
    }
    pool.max_tasks = chance(0.3) ? 1 + random(9) : 0;
    pool.jobs_to_come = static_cast<int>(random(6));
    scheduler_.open_pool(id, pool.workers);
    for (int rank = 0; rank < ranks; ++rank) {
      for (int worker = 0; worker < pool.workers[static_cast<std::size_t>(rank)]; ++worker) spawn(rank, id);
    }
  }
  post(no_channel, Event{.what = What::act});
  std::uint64_t steps = 0;
  while (!events_.empty() && failure_.empty()) {
    const auto next = events_.begin();
    now_ = next->first;
    const Event event = next->second;
    events_.erase(next);
    handle(event);
    if (++steps > 2'000'000) fail("endless");
  }
  for (const auto& [id, job] : jobs_) {
    if (job.live) fail("stuck: job " + std::to_string(id));
  }
  for (const auto& [id, pool] : pools_) {
    if (pool.live) fail("stuck: pool " + std::to_string(id));
  }
  for (std::size_t rank = 0; rank < dealers_.size(); ++rank) {
    if (rank_lives_[rank] && dealers_[rank]->busy() != 0) fail("a worker is busy for ever");
  }
  return failure_;
}

// --- the user

void History::script() {
  std::vector<PoolId> open;
  std::vector<JobId> feeding;
  std::vector<JobId> live;
  for (auto& [id, pool] : pools_) {
    if (pool.live && !pool.closed) open.push_back(id);
  }
  for (auto& [id, job] : jobs_) {
    if (job.live && !job.all_known) feeding.push_back(id);
    if (job.live) live.push_back(id);
  }
  if (open.empty() && feeding.empty()) {
    for (auto& [id, pool] : pools_) {
      if (pool.live && !pool.closed) scheduler_.close_pool(id);
    }
    return;
  }
  post(no_channel, Event{.what = What::act});
  const std::uint64_t dice = random(100);
  if (dice < 3 && !live.empty()) {
    forget_job(live[random(live.size())]);
  } else if (dice < 4 && pools_.size() > 1 && !open.empty() && chance(0.3)) {
    const PoolId id = open[random(open.size())];
    pools_[id].live = false;
    for (auto& [job_id, job] : jobs_) {
      if (job.pool == id) job.live = false;
    }
    scheduler_.terminate_pool(id);
    ++counts_.terminated;
    for (std::size_t rank = 0; rank < dealers_.size(); ++rank) {
      post(to_rank + static_cast<int>(rank),
           Event{.what = What::forget_pool, .rank = static_cast<int>(rank), .pool = id});
    }
  } else if (dice < 6 && chance(0.2) && std::count(rank_lives_.begin(), rank_lives_.end(), true) > 1) {
    lose_rank(static_cast<int>(random(rank_lives_.size())));
  } else if (dice < 50 && !open.empty()) {
    const PoolId id = open[random(open.size())];
    Pool& pool = pools_[id];
    if (pool.jobs_to_come-- <= 0) {
      pool.closed = true;
      scheduler_.close_pool(id);
    } else {
      const JobId job_id = 1000 - jobs_.size() * 7;  // not in the order of submission
      Job& job = jobs_[job_id];
      job.pool = id;
      job.number = jobs_.size();
      job.options.chunksize = chance(0.4) ? 0 : 1 + random(7);
      job.options.retries = static_cast<int>(random(3));
      job.blocks_to_come = chance(0.3) ? 1 : static_cast<int>(random(8));
      job.deadly = chance(0.3);
      scheduler_.submit(job_id, id, job.options);
    }
  } else if (!feeding.empty()) {
    const JobId id = feeding[random(feeding.size())];
    Job& job = jobs_[id];
    if (job.blocks_to_come-- <= 0) {
      job.all_known = true;
      scheduler_.end_items(id);
    } else {
      const std::uint64_t count = chance(0.3) ? 1 : chance(0.9) ? 1 + random(40) : 1 + random(400);
      job.tasks.resize(job.tasks.size() + count);
      job.in_state[unsent] += count;
      job.block_ends.push_back(job.tasks.size());
      counts_.tasks += count;
      scheduler_.add_items(id, count);
    }
  }
}

void History::forget_job(JobId id) {
  jobs_[id].live = false;
  ++counts_.cancelled;
  scheduler_.cancel(id);
  for (std::size_t rank = 0; rank < dealers_.size(); ++rank) {
    post(to_rank + static_cast<int>(rank),
         Event{.what = What::forget_job, .rank = static_cast<int>(rank), .run = Run{id, 0, 0, 1}});
  }
}

void History::set_state(Job& job, TaskIndex index, State state, int rank) {
  Task& task = job.tasks[index];
  --job.in_state[task.state];
  if (task.state == under_way) --job.under_way_at[static_cast<std::size_t>(task.rank)];
  task.state = state;
  if (rank >= 0) task.rank = rank;
  ++job.in_state[task.state];
  if (task.state == under_way) ++job.under_way_at[static_cast<std::size_t>(task.rank)];
}

bool History::complete(const Job& job) { return job.all_known && job.in_state[ended] == job.tasks.size(); }

void History::lose_rank(int rank) {
  if (!rank_lives_[static_cast<std::size_t>(rank)]) return;
  for (const auto& [id, pool] : pools_) {
    // A pool without any other worker could never go on.
    int others = 0;
    for (std::size_t other = 0; other < pool.workers.size(); ++other) {
      if (static_cast<int>(other) != rank && rank_lives_[other]) others += pool.workers[other];
    }
    if (pool.live && others == 0) return;
  }
  rank_lives_[static_cast<std::size_t>(rank)] = false;
  ++counts_.ranks_lost;
  for (auto& [id, worker] : workers_) {
    if (worker.rank == rank) worker.alive = false;
  }
  for (auto& [id, job] : jobs_) {
    for (TaskIndex index = 0; index < job.tasks.size(); ++index) {
      Task& task = job.tasks[index];
      if (task.worker >= 0 && workers_[task.worker].rank == rank) task.worker = -1;
      if (task.state == under_way && task.rank == rank) set_state(job, index, waits_again);
    }
  }
  scheduler_.lose_rank(rank);
}

// --- what happens

void History::handle(const Event& event) {
  const bool at_rank = event.what != What::act && event.what != What::rank_report &&
                       event.what != What::rank_lost_task && event.what != What::worker_count;
  if (at_rank && !rank_lives_[static_cast<std::size_t>(event.rank)]) return;
  scheduler::RankDealer& dealer = *dealers_[static_cast<std::size_t>(event.rank)];
  switch (event.what) {
    case What::act:
      script();
      break;
    case What::run_to_rank:
      dealer.add_run(event.pool, event.run);
      break;
    case What::forget_job:
      dealer.forget_job(event.run.job);
      break;
    case What::forget_pool:
      dealer.forget_pool(event.pool);
      [[fallthrough]];
    case What::leave:
      for (auto& [id, worker] : workers_) {
        if (worker.alive && worker.rank == event.rank && worker.pool == event.pool) {
          worker.leaving = true;
          post(no_channel, Event{.what = What::kill, .rank = event.rank, .worker = id});
        }
      }
      break;
    case What::give: {
      Worker& worker = workers_[event.worker];
      if (!worker.alive) break;
      worker.queue.push_back(event.run);
      if (!worker.running) begin_task(event.worker);
      break;
    }
    case What::task_ends:
      if (workers_[event.worker].alive) end_task(event.worker);
      break;
    case What::kill:
      remove_worker(event.worker);
      break;
    case What::worker_report: {
      if (!dealer.finished(static_cast<std::uint32_t>(event.worker), event.run.job, event.run.first, event.run.count,
                           scheduler::Nanoseconds(static_cast<std::int64_t>(event.run.count * random(100'000))))) {
        fail("the dealer refused a true report");
      }
      for (TaskIndex task = event.run.first; task < event.run.first + event.run.count; ++task) {
        jobs_[event.run.job].tasks[task].worker = -1;
      }
      post(from_rank + event.rank, Event{.what = What::rank_report, .rank = event.rank, .run = event.run});
      break;
    }
    case What::worker_gone: {
      const Worker& worker = workers_[event.worker];
      for (const Run& run : worker.gives) {
        for (TaskIndex index = run.first; index < run.first + run.count; ++index) {
          int& holder = jobs_[run.job].tasks[index].worker;
          if (holder == event.worker) holder = -1;
        }
      }
      dealer.remove_worker(static_cast<std::uint32_t>(event.worker), worker.begun);
      const Pool& pool = pools_[worker.pool];
      if (!pool.live) break;
      // The new one comes at once, or the rank tells that it has fewer for a while.
      if (chance(0.5)) {
        post(from_rank + event.rank,
             Event{.what = What::worker_count, .rank = event.rank, .pool = worker.pool, .count = -1});
        post(from_rank + event.rank,
             Event{.what = What::worker_count, .rank = event.rank, .pool = worker.pool, .count = 1});
      }
      drain_dealer(event.rank);
      spawn(event.rank, worker.pool);
      break;
    }
    case What::rank_report:
    case What::rank_lost_task:
      report(event);
      break;
    case What::worker_count: {
      Pool& pool = pools_[event.pool];
      if (!rank_lives_[static_cast<std::size_t>(event.rank)]) break;
      int& count = pool.workers[static_cast<std::size_t>(event.rank)];
      count += event.count;
      scheduler_.set_workers(event.pool, event.rank, count);
      break;
    }
  }
  drain_scheduler();
  drain_dealer(event.rank);
  if (damage_ > 0 && chance(damage_)) damage_report(static_cast<int>(random(dealers_.size())));
}

// --- workers

void History::spawn(int rank, PoolId pool) {
  const int id = next_worker_++;
  Worker& worker = workers_[id];
  worker.rank = rank;
  worker.pool = pool;
  worker.max_tasks = pools_[pool].max_tasks;
  dealers_[static_cast<std::size_t>(rank)]->add_worker(pool, static_cast<std::uint32_t>(id), worker.max_tasks);
  drain_dealer(rank);
  if (death_ > 0 && chance(0.2)) {
    now_ += 50;
    post(no_channel, Event{.what = What::kill, .rank = rank, .worker = id});
    now_ -= 50;
  }
}

void History::begin_task(int id) {
  Worker& worker = workers_[id];
  worker.running = true;
  ++worker.begun;
  const Run& run = worker.queue.front();
  const bool poison = jobs_[run.job].deadly && run.first % 5 == 0 && chance(0.7);
  const What end = poison || chance(death_) ? What::kill : What::task_ends;
  post(no_channel, Event{.what = end, .rank = worker.rank, .worker = id});
}

void History::end_task(int id) {
  Worker& worker = workers_[id];
  worker.running = false;
  Run& run = worker.queue.front();
  if (worker.done.count > 0 &&
      (worker.done.job != run.job || worker.done.first + worker.done.count != run.first || chance(0.3))) {
    flush(id);
  }
  if (worker.done.count == 0) worker.done = Run{run.job, run.first, 0, 1};
  ++worker.done.count;
  ++run.first;
  if (--run.count == 0) worker.queue.pop_front();
  if (worker.queue.empty()) {
    flush(id);
  } else {
    begin_task(id);
  }
}

void History::flush(int id) {
  Worker& worker = workers_[id];
  if (worker.done.count == 0) return;
  post(from_worker + id, Event{.what = What::worker_report,
                               .rank = worker.rank,
                               .worker = id,
                               .run = std::exchange(worker.done, Run{0, 0, 0, 1})});
}

void History::remove_worker(int id) {
  Worker& worker = workers_[id];
  if (!worker.alive) return;
  worker.alive = false;
  if (!worker.leaving) ++counts_.deaths;
  if (chance(0.5)) flush(id);
  post(from_worker + id, Event{.what = What::worker_gone, .rank = worker.rank, .worker = id});
}

// --- rank to master

void History::report(const Event& event) {
  const Run& run = event.run;
  const Job& job = jobs_[run.job];
  bool valid = job.live && run.count > 0 && run.first + run.count <= job.tasks.size();
  for (TaskIndex task = run.first; valid && task < run.first + run.count; ++task) {
    valid = job.tasks[task].state == under_way && job.tasks[task].rank == event.rank;
  }
  const bool is_end = event.what == What::rank_report;
  if (valid) {
    for (TaskIndex index = run.first; index < run.first + run.count; ++index) {
      const bool ends = is_end || ++jobs_[run.job].tasks[index].losses > job.options.retries;
      set_state(jobs_[run.job], index, ends ? ended : waits_again);
    }
  } else {
    ++counts_.refused;
  }
  const bool accepted = is_end
                            ? scheduler_.finished(event.rank, run.job, run.first, run.count,
                                                  scheduler::Nanoseconds(static_cast<std::int64_t>(random(10'000'000))))
                            : scheduler_.lost(event.rank, run.job, run.first, scheduler::Loss{9, 1});
  if (accepted != valid)
    fail(std::string("the scheduler should have ") + (valid ? "accepted" : "refused") + " a report");
  if (is_end || !valid || jobs_[run.job].tasks[run.first].state != ended) return;
  const auto told = std::count_if(scheduler_.actions().begin(), scheduler_.actions().end(), [&](const auto& action) {
    const auto* failed = std::get_if<scheduler::FailTask>(&action);
    return failed != nullptr && failed->job == run.job && failed->task == run.first && failed->rank == event.rank &&
           failed->attempts == job.options.retries + 1 && failed->loss == scheduler::Loss{9, 1};
  });
  if (told != 1) fail("a task that used up its attempts did not fail");
}

// A report about something that is not there must change nothing.
void History::damage_report(int rank) {
  if (jobs_.empty()) return;
  auto chosen = std::next(jobs_.begin(), static_cast<std::ptrdiff_t>(random(jobs_.size())));
  const Run run{chosen->first, random(60), random(5), 1};
  const Job& job = chosen->second;
  bool is_there = job.live && run.count > 0;
  for (TaskIndex task = run.first; is_there && task < run.first + run.count; ++task) {
    is_there = task < job.tasks.size() && job.tasks[task].state == under_way && job.tasks[task].rank == rank;
  }
  if (is_there) return;
  if (scheduler_.finished(rank, run.job, run.first, run.count, scheduler::Nanoseconds(5)))
    fail("accepted a false report");
  if (run.count == 1 && scheduler_.lost(rank, run.job, run.first, {})) fail("accepted a false loss");
  if (!scheduler_.actions().empty()) fail("a false report had effects");
}

// --- actions and their checks

void History::drain_scheduler() {
  const std::vector<scheduler::Action> actions = std::exchange(scheduler_.actions(), {});
  for (const scheduler::Action& action : actions) {
    if (const auto* send = std::get_if<scheduler::SendRun>(&action)) {
      check_send(*send);
      if (!failure_.empty()) return;
      post(to_rank + send->rank,
           Event{.what = What::run_to_rank, .rank = send->rank, .pool = jobs_[send->run.job].pool, .run = send->run});
    } else if (const auto* failed = std::get_if<scheduler::FailTask>(&action)) {
      ++counts_.failed;
      if (!jobs_[failed->job].live || jobs_[failed->job].tasks[failed->task].state != ended) fail("a false failure");
    } else if (const auto* job_end = std::get_if<scheduler::EndJob>(&action)) {
      Job& job = jobs_[job_end->job];
      if (!job.live || !complete(job)) fail("a job ended too early or twice");
      job.live = false;
    } else {
      const PoolId id = std::get<scheduler::EndPool>(action).pool;
      Pool& pool = pools_[id];
      if (!pool.live || !pool.closed) fail("a pool ended too early or twice");
      for (const auto& [job_id, job] : jobs_) {
        if (job.pool == id && job.live) fail("a pool ended before its jobs");
      }
      pool.live = false;
      for (std::size_t rank = 0; rank < dealers_.size(); ++rank) {
        post(to_rank + static_cast<int>(rank), Event{.what = What::leave, .rank = static_cast<int>(rank), .pool = id});
      }
    }
  }
  check_ends();
  check_nobody_idle();
}

void History::check_send(const scheduler::SendRun& send) {
  const Run& run = send.run;
  Job& job = jobs_[run.job];
  if (!job.live) return fail("sent a dead job");
  if (send.rank < 0 || send.rank >= static_cast<int>(dealers_.size()) ||
      !rank_lives_[static_cast<std::size_t>(send.rank)] ||
      pools_[job.pool].workers[static_cast<std::size_t>(send.rank)] <= 0) {
    return fail("sent to a rank without workers");
  }
  const TaskIndex last = run.first + run.count;
  if (run.count == 0 || last > job.tasks.size()) return fail("sent tasks that do not exist");
  const TaskIndex block_end = *std::upper_bound(job.block_ends.begin(), job.block_ends.end(), run.first);
  if (last > block_end) return fail("a run crosses the end of a block");
  const State before = job.tasks[run.first].state;
  for (TaskIndex task = run.first; task < last; ++task) {
    if (job.tasks[task].state != before) return fail("a run mixes new and lost tasks");
    set_state(job, task, under_way, send.rank);
  }
  if (before == waits_again) {
    if (job.tasks[run.first].losses > 0 && counts_.ranks_lost == 0 && (run.count != 1 || run.chunk != 1)) {
      fail("a lost task was sent with others");
    }
    return;
  }
  if (before != unsent) return fail("a task was sent twice");
  if (run.first > 0 && job.tasks[run.first - 1].state == unsent) fail("tasks were sent out of order");
  if (run.chunk == 0 || (run.count % run.chunk != 0 && last != block_end)) fail("a chunk was cut");
  if (job.options.chunksize != 0 && run.chunk != std::min(job.options.chunksize, block_end - run.first)) {
    fail("a chunk has another size than was asked for");
  }
  for (const auto& [id, other] : jobs_) {
    if (!other.live || other.pool != job.pool) continue;
    if (other.in_state[waits_again] > 0) return fail("a lost task was overtaken");
    if (other.in_state[unsent] > 0 && other.number < job.number) return fail("a job was overtaken");
  }
}

void History::check_ends() {
  for (const auto& [id, job] : jobs_) {
    if (job.live && complete(job)) fail("EndJob is missing");
  }
  for (const auto& [id, pool] : pools_) {
    if (pool.live && pool.closed && std::none_of(jobs_.begin(), jobs_.end(), [pool_id = id](const auto& entry) {
          return entry.second.live && entry.second.pool == pool_id;
        })) {
      fail("EndPool is missing");
    }
  }
}

// While something waits to be sent, every worker must have something.
void History::check_nobody_idle() {
  for (const auto& [id, pool] : pools_) {
    if (!pool.live) continue;
    bool waiting = false;
    std::array<int, 4> at_rank{};
    for (const auto& [job_id, job] : jobs_) {
      if (!job.live || job.pool != id) continue;
      waiting = waiting || job.in_state[unsent] > 0 || job.in_state[waits_again] > 0;
      for (std::size_t rank = 0; rank < at_rank.size(); ++rank) at_rank[rank] += job.under_way_at[rank];
    }
    for (std::size_t rank = 0; waiting && rank < dealers_.size(); ++rank) {
      if (rank_lives_[rank] && at_rank[rank] < pool.workers[rank]) fail("a worker idles while tasks wait");
    }
  }
}

void History::drain_dealer(int rank) {
  auto& actions = dealers_[static_cast<std::size_t>(rank)]->actions();
  const std::vector<scheduler::DealerAction> now = std::exchange(actions, {});
  for (const scheduler::DealerAction& action : now) {
    if (const auto* give = std::get_if<scheduler::Give>(&action)) {
      check_give(rank, *give);
      post(to_worker + static_cast<int>(give->worker),
           Event{.what = What::give, .rank = rank, .worker = static_cast<int>(give->worker), .run = give->run});
    } else if (const auto* retire = std::get_if<scheduler::Retire>(&action)) {
      Worker& worker = workers_[static_cast<int>(retire->worker)];
      if (worker.max_tasks == 0 || worker.given != worker.max_tasks || worker.retired)
        fail("retired too early or twice");
      worker.leaving = true;
      worker.retired = true;
      ++counts_.retired;
      post(no_channel, Event{.what = What::kill, .rank = rank, .worker = static_cast<int>(retire->worker)});
    } else {
      const auto& died = std::get<scheduler::TaskDied>(action);
      post(from_rank + rank, Event{.what = What::rank_lost_task, .rank = rank, .run = Run{died.job, died.task, 1, 1}});
    }
  }
}

void History::check_give(int rank, const scheduler::Give& give) {
  const auto found = workers_.find(static_cast<int>(give.worker));
  if (found == workers_.end()) return fail("gave to an unknown worker");
  Worker& worker = found->second;
  Job& job = jobs_[give.run.job];
  if (worker.rank != rank || worker.pool != job.pool) fail("gave to a worker of another pool or rank");
  worker.given += give.run.count;
  worker.gives.push_back(give.run);
  if (worker.max_tasks != 0 && worker.given > worker.max_tasks) fail("gave more than max_tasks");
  if (worker.leaving) fail("gave to a worker that leaves");
  for (TaskIndex index = give.run.first; index < give.run.first + give.run.count; ++index) {
    Task& task = job.tasks[index];
    if (job.live && (task.state != under_way || task.rank != rank)) fail("gave a task that is not here");
    if (job.live && task.worker >= 0) fail("gave a task that another worker has");
    task.worker = found->first;
  }
}

}  // namespace rankpool::simulation
