#include "history.hpp"

#include <algorithm>
#include <utility>

#include "history_event.hpp"

namespace rankpool::simulation {

using scheduler::Run;

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
  priorities_ = chance(0.4) ? 1 : 1 + static_cast<int>(random(4));
  thorough_ = chance(0.1);
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
  } else if (dice >= 50 && dice < 60 && !live.empty()) {
    const JobId id = live[random(live.size())];
    if (jobs_[id].all_known && jobs_[id].tasks.size() == 1) ask(id, chance(0.7));
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
  } else if (dice < 6 && chance(0.5) && std::count(rank_lives_.begin(), rank_lives_.end(), true) > 1) {
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
      job.options.priority = static_cast<int>(random(static_cast<std::uint64_t>(priorities_))) - 1;
      job.blocks_to_come = chance(0.3) ? 1 : static_cast<int>(random(8));
      job.deadly = chance(0.3);
      job.folds = chance(0.3);
      scheduler_.submit(job_id, id, job.options);
      if (chance(0.4)) {
        job.tasks.resize(1);
        job.in_state[unsent] = 1;
        job.block_ends.push_back(1);
        job.all_known = true;
        ++counts_.tasks;
        scheduler_.add_items(job_id, 1);
        scheduler_.end_items(job_id);
      }
    }
  } else if (!feeding.empty()) {
    const JobId id = feeding[random(feeding.size())];
    Job& job = jobs_[id];
    if (job.blocks_to_come-- <= 0) {
      job.all_known = true;
      scheduler_.end_items(id);
    } else {
      const std::uint64_t count = chance(0.3) ? 1 : chance(0.9) ? 1 + random(40) : 1 + random(400);
      const bool skip = chance(0.2);
      job.tasks.resize(job.tasks.size() + count, Task{.state = skip ? ended : unsent});
      job.in_state[skip ? ended : unsent] += count;
      job.block_ends.push_back(job.tasks.size());
      (skip ? counts_.skipped : counts_.tasks) += count;
      if (skip) {
        scheduler_.skip_items(id, count);
      } else {
        scheduler_.add_items(id, count);
      }
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
  std::uint64_t under_way_there = 0;
  for (auto& [id, worker] : workers_) {
    if (worker.rank == rank) worker.alive = false;
  }
  for (auto& [id, job] : jobs_) {
    for (TaskIndex index = 0; index < job.tasks.size(); ++index) {
      Task& task = job.tasks[index];
      if (task.worker >= 0 && workers_[task.worker].rank == rank) task.worker = -1;
      if (task.state != under_way || task.rank != rank) continue;
      set_state(job, index, waits_again);
      if (job.live) ++under_way_there;
      task.at_rank = false;
      job.asked.clear();
      job.dropped = false;
    }
  }
  std::uint64_t count = 0;
  for (const Run& run : scheduler_.lose_rank(rank)) count += run.count;
  if (count != under_way_there) fail("the scheduler believes that something else was lost with the rank");
  drain_scheduler();
  for (auto& [id, job] : jobs_) {
    if (job.folds && job.live) run_folded_again(id, rank);
  }
}

// The values that were computed there are lost, though the tasks had ended.
void History::run_folded_again(JobId id, int rank) {
  Job& job = jobs_[id];
  TaskIndex first = 0;
  for (const TaskIndex end : job.block_ends) {
    while (first < end && job.live) {
      const auto is_there = [&](TaskIndex task) {
        return job.tasks[task].state == ended && job.tasks[task].rank == rank && !job.tasks[task].failed;
      };
      TaskIndex last = first;
      for (; last < end && is_there(last); ++last) set_state(job, last, waits_again);
      if (last > first) {
        counts_.run_again += last - first;
        scheduler_.run_again(id, first, last - first);
        drain_scheduler();
      }
      first = std::max(last, first + 1);
    }
  }
}

// --- what happens

void History::handle(const Event& event) {
  const bool at_rank = event.what != What::act && event.what != What::rank_report &&
                       event.what != What::rank_lost_task && event.what != What::worker_count &&
                       event.what != What::standing && event.what != What::returned;
  if (at_rank && !rank_lives_[static_cast<std::size_t>(event.rank)]) return;
  scheduler::RankDealer& dealer = *dealers_[static_cast<std::size_t>(event.rank)];
  switch (event.what) {
    case What::act:
      script();
      break;
    case What::run_to_rank:
      for (TaskIndex task = event.run.first; task < event.run.first + event.run.count; ++task) {
        jobs_[event.run.job].tasks[task].at_rank = true;
      }
      dealer.add_run(event.pool, event.run);
      break;
    case What::forget_job:
      jobs_[event.run.job].forgotten[static_cast<std::size_t>(event.rank)] = true;
      dealer.forget_job(event.run.job);
      break;
    case What::ask:
      ask_at_rank(event);
      break;
    case What::give_back:
      give_back(event);
      break;
    case What::returned:
      returned(event);
      break;
    case What::standing:
      answered(event);
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
      if (!worker.running) go_on(event.worker);
      break;
    }
    case What::task_ends:
      if (!workers_[event.worker].alive) break;
      if (event.count > 0 && unanswered() > 0) {  // it waits for somebody who waits for an answer
        post(no_channel, event);
      } else {
        end_task(event.worker);
      }
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
        jobs_[event.run.job].tasks[task].at_rank = false;
      }
      post(from_rank + event.rank, Event{.what = What::rank_report, .rank = event.rank, .run = event.run});
      break;
    }
    case What::worker_gone: {
      const Worker& worker = workers_[event.worker];
      for (const auto& [job, index] : worker.tasks) {
        int& holder = jobs_[job].tasks[index].worker;
        if (holder == event.worker) holder = -1;
      }
      dealer.remove_worker(static_cast<std::uint32_t>(event.worker), worker.begun, !worker.innocent);
      for (const scheduler::DealerAction& action : dealer.actions()) {
        const auto* died = std::get_if<scheduler::TaskDied>(&action);
        if (died == nullptr) continue;
        if (worker.innocent) fail("blamed a task that is innocent");
        if (worker.begun == 0 || worker.tasks[worker.begun - 1] != std::pair(died->job, died->task)) {
          fail("blamed a task that was not begun last");
        }
      }
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
  if (chance(0.1)) {
    scheduler_.rebalance();
    drain_scheduler();
  }
  if (chance(0.1) && rank_lives_[static_cast<std::size_t>(event.rank)]) {
    dealer.rebalance();
    drain_dealer(event.rank);
  }
  if (damage_ > 0 && chance(damage_)) damage_report(static_cast<int>(random(dealers_.size())));
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
      jobs_[run.job].tasks[index].failed = ends && !is_end;
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
  if (!is_end && valid && jobs_[run.job].tasks[run.first].state != ended) ask_again(run.job);
  if (is_end || !valid || jobs_[run.job].tasks[run.first].state != ended) return;
  const auto told = std::count_if(scheduler_.actions().begin(), scheduler_.actions().end(), [&](const auto& action) {
    const auto* failed = std::get_if<scheduler::FailTask>(&action);
    return failed != nullptr && failed->job == run.job && failed->task == run.first && failed->rank == event.rank &&
           failed->attempts == job.options.retries + 1 && failed->loss == scheduler::Loss{9, 1};
  });
  if (told != 1) fail("a task that used up its attempts did not fail");
}

// The rank that was asked did not have the task any more.
void History::ask_again(JobId id) {
  for (const bool cancel : std::exchange(jobs_[id].asked, {})) {
    if (!jobs_[id].live) break;
    drain_scheduler();
    ++counts_.asked_again;
    ask(id, cancel);
  }
}

void History::returned(const Event& event) {
  const auto is_under_way = [&](const Run& run) {
    const Job& job = jobs_[run.job];
    const auto begin = job.tasks.begin() + static_cast<std::ptrdiff_t>(run.first);
    return job.live && std::all_of(begin, begin + static_cast<std::ptrdiff_t>(run.count), [&](const Task& task) {
             return task.state == under_way && task.rank == event.rank;
           });
  };
  std::vector<Run> valid = event.runs;
  std::erase_if(valid, [&](const Run& run) { return !is_under_way(run); });
  for (const Run& run : valid) {
    for (TaskIndex task = run.first; task < run.first + run.count; ++task) set_state(jobs_[run.job], task, waits_again);
    counts_.returned += run.count;
  }
  const std::vector<Run> accepted = scheduler_.returned(event.rank, event.pool, event.runs);
  const auto same = [](const Run& a, const Run& b) {
    return a.job == b.job && a.first == b.first && a.count == b.count;
  };
  if (!std::equal(valid.begin(), valid.end(), accepted.begin(), accepted.end(), same)) {
    fail("the scheduler believes other tasks to be returned");
  }
  for (const Run& run : valid) ask_again(run.job);
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

}  // namespace rankpool::simulation
