// What the scheduler and the dealers of a history want done, and whether that is right.
#include <algorithm>
#include <utility>

#include "history.hpp"
#include "history_event.hpp"

namespace rankpool::simulation {

using scheduler::Run;

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
    } else if (const auto* back = std::get_if<scheduler::AskBack>(&action)) {
      ++counts_.asked_back;
      if (back->count == 0) fail("asked for nothing");
      if (!rank_lives_[static_cast<std::size_t>(back->rank)]) fail("asked a dead rank");
      post(
          to_rank + back->rank,
          Event{
              .what = What::give_back, .rank = back->rank, .pool = back->pool, .count = static_cast<int>(back->count)});
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
    if (run.attempt != job.tasks[task].losses) return fail("the number of an attempt is wrong");
    set_state(job, task, under_way, send.rank);
  }
  if (run.priority != job.options.priority) return fail("the priority is wrong");
  for (const auto& [id, other] : jobs_) {
    if (!other.live || other.pool != job.pool || other.options.priority < run.priority) continue;
    const bool first = before == unsent || other.options.priority > run.priority;
    if (first && other.in_state[waits_again] > 0) return fail("a lost task was overtaken");
    const bool unsent_first = before == unsent ? other.number < job.number : false;
    if (other.in_state[unsent] > 0 && (other.options.priority > run.priority || unsent_first)) {
      return fail("a job was overtaken");
    }
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
  for (std::size_t next = 0; next < actions.size(); ++next) {
    const scheduler::DealerAction action = actions[next];
    if (const auto* give = std::get_if<scheduler::Give>(&action)) {
      check_give(rank, *give);
      post(to_worker + static_cast<int>(give->worker),
           Event{.what = What::give, .rank = rank, .worker = static_cast<int>(give->worker), .run = give->run});
    } else if (const auto* retire = std::get_if<scheduler::Retire>(&action)) {
      Worker& worker = workers_[static_cast<int>(retire->worker)];
      if (worker.max_tasks == 0 || worker.tasks.size() != worker.max_tasks || worker.retired)
        fail("retired too early or twice");
      worker.leaving = true;
      worker.retired = true;
      ++counts_.retired;
      post(no_channel, Event{.what = What::kill, .rank = rank, .worker = static_cast<int>(retire->worker)});
    } else if (const auto* back = std::get_if<scheduler::Recall>(&action)) {
      recall(static_cast<int>(back->worker));
    } else {
      const auto& died = std::get<scheduler::TaskDied>(action);
      jobs_[died.job].tasks[died.task].at_rank = false;
      post(from_rank + rank, Event{.what = What::rank_lost_task, .rank = rank, .run = Run{died.job, died.task, 1, 1}});
    }
  }
  actions.clear();
}

void History::check_give(int rank, const scheduler::Give& give) {
  const auto found = workers_.find(static_cast<int>(give.worker));
  if (found == workers_.end()) return fail("gave to an unknown worker");
  Worker& worker = found->second;
  Job& job = jobs_[give.run.job];
  if (worker.rank != rank || worker.pool != job.pool) fail("gave to a worker of another pool or rank");
  for (TaskIndex index = give.run.first; index < give.run.first + give.run.count; ++index) {
    worker.tasks.emplace_back(give.run.job, index);
  }
  if (worker.max_tasks != 0 && worker.tasks.size() > worker.max_tasks) fail("gave more than max_tasks");
  if (worker.leaving) fail("gave to a worker that leaves");
  for (TaskIndex index = give.run.first; index < give.run.first + give.run.count; ++index) {
    Task& task = job.tasks[index];
    if (job.live && (task.state != under_way || task.rank != rank)) fail("gave a task that is not here");
    if (job.live && task.worker >= 0) fail("gave a task that another worker has");
    task.worker = found->first;
  }
}

// Nothing of a higher priority may wait at the rank.
void History::check_priority(int rank, const Run& run) {
  if (!thorough_) return;
  for (const auto& [id, job] : jobs_) {
    if (job.pool != jobs_[run.job].pool || job.options.priority <= run.priority || job.dropped ||
        job.forgotten[static_cast<std::size_t>(rank)]) {
      continue;
    }
    for (const Task& task : job.tasks) {
      if (task.at_rank && task.worker < 0 && task.state == under_way && task.rank == rank) {
        return fail("began a task of too low a priority");
      }
    }
  }
}

}  // namespace rankpool::simulation
