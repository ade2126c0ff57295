// The workers of a history, and who asks about their tasks.
#include <utility>

#include "history.hpp"
#include "history_event.hpp"

namespace rankpool::simulation {

using scheduler::Run;

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

// Takes in what lies before it, until a task has begun.
void History::go_on(int id) {
  Worker& worker = workers_[id];
  while (!worker.queue.empty() && !worker.running) {
    if (worker.queue.front().count == 0) {
      --worker.recalls;
      worker.queue.pop_front();
    } else if (worker.recalls > 0) {
      worker.queue.pop_front();
    } else {
      begin_task(id);
    }
  }
}

void History::begin_task(int id) {
  Worker& worker = workers_[id];
  worker.running = true;
  ++worker.begun;
  const Run& run = worker.queue.front();
  const Job& job = jobs_[run.job];
  if (worker.begun > worker.tasks.size() || worker.tasks[worker.begun - 1] != std::pair(run.job, run.first)) {
    return fail("began another task than the dealer believes");
  }
  if (job.dropped || job.forgotten[static_cast<std::size_t>(worker.rank)]) return fail("began a cancelled task");
  check_priority(worker.rank, run);
  const bool poison = jobs_[run.job].deadly && run.first % 5 == 0 && chance(0.7);
  const What end = poison || chance(death_) ? What::kill : What::task_ends;
  post(no_channel, Event{.what = end, .rank = worker.rank, .worker = id, .count = chance(0.2) ? 1 : 0});
}

// As the shell of the dealer does it.
std::uint64_t History::recall(int id, std::optional<JobId> dropped) {
  Worker& worker = workers_[id];
  scheduler::RankDealer& dealer = *dealers_[static_cast<std::size_t>(worker.rank)];
  const auto number = static_cast<std::uint32_t>(id);
  if (dealer.last_given(number) != worker.tasks.size()) fail("the dealer has lost count");
  if (worker.begun < worker.tasks.size()) {
    ++counts_.recalls;
    ++worker.recalls;
    post(to_worker + id, Event{.what = What::give, .rank = worker.rank, .worker = id});
    counts_.taken_back += worker.tasks.size() - worker.begun;
    for (std::size_t index = worker.begun; index < worker.tasks.size(); ++index) {
      jobs_[worker.tasks[index].first].tasks[worker.tasks[index].second].worker = -1;
    }
    worker.tasks.resize(worker.begun);
  }
  dealer.recalled(number, worker.begun, dropped);
  return worker.begun;
}

// As the shell of the dealer does it.
void History::give_back(const Event& event) {
  scheduler::RankDealer& dealer = *dealers_[static_cast<std::size_t>(event.rank)];
  const auto most = static_cast<std::uint64_t>(event.count);
  dealer.prepare_give_back(event.pool, most);
  drain_dealer(event.rank);
  std::vector<Run> runs = dealer.give_back(event.pool, most);
  std::uint64_t count = 0;
  for (const Run& run : runs) {
    count += run.count;
    for (TaskIndex index = run.first; index < run.first + run.count; ++index) {
      Task& task = jobs_[run.job].tasks[index];
      if (jobs_[run.job].pool != event.pool || !task.at_rank || task.worker >= 0) fail("gave back what is not there");
      task.at_rank = false;
    }
  }
  if (count > most) fail("gave back too much");
  post(from_rank + event.rank,
       Event{.what = What::returned, .rank = event.rank, .pool = event.pool, .runs = std::move(runs)});
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
  go_on(id);
  if (!worker.running) flush(id);
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
  worker.innocent = chance(0.1);
  if (worker.innocent) ++counts_.innocent;
  if (chance(0.5)) flush(id);
  post(from_worker + id, Event{.what = What::worker_gone, .rank = worker.rank, .worker = id});
}

// --- questions about jobs of one task

// As the shell of the scheduler does it.
void History::ask(JobId id, bool cancel) {
  Job& job = jobs_[id];
  const std::optional<int> rank = scheduler_.rank_of(id);
  const Task& task = job.tasks.front();
  if (rank.has_value() != (task.state == under_way) || (rank && *rank != task.rank)) {
    return fail("the scheduler does not know where a task is");
  }
  ++counts_.asked;
  if (rank) {
    job.asked.push_back(cancel);
    post(to_rank + *rank,
         Event{.what = What::ask, .rank = *rank, .pool = job.pool, .run = Run{id, 0, 0, 1}, .count = cancel ? 1 : 0});
  } else if (cancel) {
    forget_job(id);
  }
}

void History::ask_at_rank(const Event& event) {
  Job& job = jobs_[event.run.job];
  scheduler::RankDealer& dealer = *dealers_[static_cast<std::size_t>(event.rank)];
  if (job.forgotten[static_cast<std::size_t>(event.rank)]) return;
  const auto place = dealer.find(event.pool, event.run.job);
  const Task& task = job.tasks.front();
  if (job.live && place.has_value() != (task.at_rank && task.rank == event.rank))
    fail("the dealer does not know where a task is");
  if (!place) return;
  const int worker = static_cast<int>(place->worker);
  bool has_begun = place->number != 0 && workers_[worker].begun >= place->number;
  if (event.count == 1) {
    if (place->number == 0) {
      dealer.forget_job(event.run.job);
    } else if (!has_begun) {
      has_begun = recall(worker, event.run.job) >= place->number;
    }
    if (!has_begun) {
      job.dropped = true;
      job.tasks.front().at_rank = false;
    }
  }
  post(from_rank + event.rank, Event{.what = What::standing,
                                     .rank = event.rank,
                                     .run = event.run,
                                     .count = event.count == 1 && !has_begun ? 1 : 0});
}

void History::answered(const Event& event) {
  Job& job = jobs_[event.run.job];
  if (!job.live || !rank_lives_[static_cast<std::size_t>(event.rank)]) return;
  if (job.asked.empty()) return fail("an answer to nobody");
  job.asked.pop_front();
  if (event.count == 1) forget_job(event.run.job);
}

std::uint64_t History::unanswered() const {
  std::uint64_t count = 0;
  for (const auto& [id, job] : jobs_) {
    if (job.live) count += job.asked.size();
  }
  return count;
}

}  // namespace rankpool::simulation
