#include "engine/worker_host.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <string>
#include <system_error>
#include <utility>
#include <variant>

#include <rankpool/errors.hpp>

#include "link/futex.hpp"
#include "wire/error_record.hpp"

namespace rankpool::engine {
namespace {

using scheduler::JobId;
using scheduler::Nanoseconds;
using scheduler::PoolId;
using wire::Kind;

constexpr std::size_t most_merged_bytes = 32 * 1024;  // a merged frame stays within wire::max_body
constexpr int most_idle_deaths = 20;
constexpr auto brief_life = std::chrono::seconds(1);
constexpr auto rebalance_pause = std::chrono::milliseconds(1);  // a task waits for another while a worker is idle

/// Why a worker process could not be made.
std::exception_ptr no_worker(std::error_code why, const Layout& layout) {
  std::string limit = "raise the limit on processes (ulimit -u)";
  if (why == std::errc::too_many_files_open || why == std::errc::too_many_files_open_in_system) {
    limit = "raise the limit on open files (ulimit -n)";
  } else if (why == std::errc::not_enough_memory) {
    limit = "free some memory, or raise the limit on it (ulimit -v)";
  }
  return std::make_exception_ptr(std::system_error(why, "rank " + std::to_string(layout.rank) + " (" + layout.host() +
                                                            ") cannot start a worker process: " + limit +
                                                            ", or use fewer workers"));
}

}  // namespace

void WorkerHost::on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  switch (head.kind) {
    case Kind::workers_start:
      start_workers(head.token, body, std::move(slice));
      break;
    case Kind::workers_stop:
      stop_workers(head.token, static_cast<int>(wire::take<wire::WorkersStop>(body).signal));
      break;
    case Kind::rank_job: {
      const auto fixed = wire::take<wire::RankJob>(body);
      jobs_.emplace(head.token, Job{fixed, link::Payload({body, std::move(slice)}), ItemStore(fixed.item_bytes)});
      if (fixed.time_limit != 0) ender_.job_opened();
      if (fixed.fold != detail::Fold::none) reductions_.open(head.token, fixed);
      break;
    }
    case Kind::rank_run: {
      const auto run = wire::take<wire::RunItems>(body);
      const auto job = jobs_.find(head.token);
      if (job == jobs_.end()) break;
      job->second.items.add(run.first, run.count, {body, std::move(slice)});
      dealer_.add_run(job->second.fixed.pool, {head.token, run.first, run.count, run.chunk, run.attempt, run.priority});
      break;
    }
    case Kind::rank_job_end:
      forget_job(head.token);
      break;
    case Kind::rank_ask:
      ask(head.token, static_cast<wire::Ask>(head.flags));
      break;
    case Kind::rank_give_back:
      give_back(head.token, wire::take<wire::GiveBack>(body).count);
      break;
    case Kind::rank_reduce:
      reductions_.start(head.token, body);
      break;
    case Kind::rank_partial:
      reductions_.from_rank(head.token, {body, std::move(slice)});
      break;
    default:
      throw wire::BadFrame("an engine was sent a frame that is not for engines");
  }
  act();
}

WorkerEnder::Clock::time_point WorkerHost::look() {
  const auto now = WorkerEnder::Clock::now();
  const auto next = ender_.look(now);
  if (!dealer_.uneven()) return next;
  if (now < next_rebalance_) return std::min(next, next_rebalance_);
  next_rebalance_ = now + rebalance_pause;
  dealer_.rebalance();
  if (dealer_.actions().empty()) return std::min(next, next_rebalance_);
  act();
  return now;  // there is something to be sent: no time to rest
}

void WorkerHost::start_workers(PoolId id, std::span<const std::byte> body, link::Slice slice) {
  Pool& pool = pools_[id];
  pool.options = wire::take<wire::WorkersStart>(body);
  pool.initializer = link::Payload({body, std::move(slice)});
  pool.next_number = pool.options.first_number;
  for (std::uint64_t i = 0; i < pool.options.count && !pool.stopping; ++i) start_worker(id, pool);
}

void WorkerHost::start_worker(PoolId id, Pool& pool) {
  const Layout& layout = router_.layout();
  std::uint32_t link = 0;
  try {
    link = children_.spawn(*this);
  } catch (const std::system_error& error) {
    return fail_pool(id, no_worker(error.code(), router_.layout()));
  } catch (...) {
    return fail_pool(id, std::current_exception());
  }
  router_.send(to_scheduler(Kind::worker_started, id), {});
  pool.workers.insert(link);
  workers_[link].pool = id;
  ender_.add_worker(link);
  const std::string number = std::to_string(pool.next_number++);
  const wire::ChildStart start{.rank = layout.rank,
                               .ranks = layout.ranks(),
                               .slots = layout.all_slots(),
                               .link = link,
                               .has_initializer = pool.options.has_initializer,
                               .is_process = 0,
                               .is_daemon = 0,
                               .window = layout.window,
                               .memory_limit = pool.options.memory_limit,
                               .seed = layout.seed,
                               .parent = pool.options.owner,
                               .host = wire::host_name(layout.host()),
                               .name = wire::process_name("PoolWorker-" + number),
                               .number = wire::process_name(number)};
  router_.send(to_child(link, Kind::child_start, 0), wire::bytes_of(start), pool.initializer.view());
}

void WorkerHost::stop_workers(PoolId id, int signal) {
  const auto found = pools_.find(id);
  if (found == pools_.end()) return;
  Pool& pool = found->second;
  pool.stopping = pool.stopped = true;
  dealer_.forget_pool(id);
  for (const std::uint32_t link : pool.workers) {
    if (signal == 0) {
      router_.send(to_child(link, Kind::child_stop, 0), {});
    } else if (signal == SIGTERM) {
      ender_.end(link, WorkerEnder::Clock::now());
    } else {
      children_.signal(link, signal);
    }
    workers_[link].leaving = true;
  }
  std::erase_if(jobs_, [&](const auto& job) {
    if (job.second.fixed.pool != id) return false;
    close_job(job.second);
    reductions_.forget(job.first);
    return true;
  });
  report_if_gone(id);
}

void WorkerHost::fail_pool(PoolId id, std::span<const std::byte> error, const link::PayloadView& record) {
  const auto pool = pools_.find(id);
  if (pool == pools_.end() || pool->second.stopping) return;
  pool->second.stopping = true;  // the scheduler answers with workers_stop
  router_.send(to_scheduler(Kind::workers_failed, id), error, record);
}

void WorkerHost::fail_pool(PoolId id, const std::exception_ptr& error) {
  detail::Buffer record;
  try {
    std::rethrow_exception(error);
  } catch (...) {
    wire::describe_current_exception().encode(record);
  }
  const wire::TaskError where{.task = wire::no_task,
                              .work = 0,
                              .rank = router_.layout().rank,
                              .pid = ::getpid(),
                              .host = wire::host_name(router_.layout().host())};
  fail_pool(id, wire::bytes_of(where), {{record.data(), record.size()}, {}});
}

void WorkerHost::report_if_gone(PoolId id) {
  const auto pool = pools_.find(id);
  if (pool == pools_.end() || !pool->second.stopped || !pool->second.workers.empty()) return;
  router_.send(to_scheduler(Kind::workers_gone, id), {});
  pools_.erase(pool);
}

void WorkerHost::forget_job(JobId id) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  const bool has_ended = found->second.items.empty();
  close_job(found->second);
  reductions_.forget(id);
  jobs_.erase(found);
  if (has_ended) {
    dealer_.job_ended(id);
  } else {
    dealer_.forget_job(id);
  }
  for (auto& [link, worker] : workers_) {
    if (worker.jobs.erase(id) == 0) continue;
    if (!has_ended) {
      const std::uint64_t number = begun(link);
      if (dealer_.job_of(link, number) == id) ask_to_stop(link, number);
    }
    router_.send(to_child(link, Kind::child_job_end, id), {});
  }
}

void WorkerHost::close_job(const Job& job) {
  if (job.fixed.time_limit != 0) ender_.job_closed();
}

// --- tasks that shall not be run

/// About a job of one task. If that is not here, what became of it is on its way to the scheduler.
void WorkerHost::ask(JobId id, wire::Ask what) {
  const auto job = jobs_.find(id);
  if (job == jobs_.end()) return;
  const auto place = dealer_.find(job->second.fixed.pool, id);
  if (!place) return;
  const bool queued = place->number == 0;
  bool has_begun = !queued && begun(place->worker) >= place->number;
  auto standing = wire::Standing::waiting;
  if (what == wire::Ask::cancel) {
    if (queued) {
      dealer_.forget_job(id);
    } else if (!has_begun) {
      has_begun = recall(place->worker, id) >= place->number;
    }
    if (has_begun) ask_to_stop(place->worker, place->number);
    standing = wire::Standing::cancelled;
  }
  if (has_begun) standing = wire::Standing::running;
  wire::Header answer = to_scheduler(Kind::rank_standing, id);
  answer.flags = static_cast<std::uint32_t>(standing);
  router_.send(answer, {});
}

/// The scheduler has idle workers elsewhere.
void WorkerHost::give_back(PoolId id, std::uint64_t count) {
  dealer_.prepare_give_back(id, count);
  act();
  detail::Buffer runs;
  for (const scheduler::Run& run : dealer_.give_back(id, count)) {
    release(run.job, run.first, run.count);
    const wire::ReturnedRun returned{run.job, run.first, run.count};
    runs.append(&returned, sizeof returned);
  }
  const wire::Header answer = to_scheduler(Kind::runs_returned, id);
  if (const link::Slice slice = link::take_slice(runs)) return router_.send(answer, {}, {{}, slice});
  router_.send(answer, {runs.data(), runs.size()});
}

std::uint64_t WorkerHost::begun(std::uint32_t link) {
  Port* const port = children_.port(link);
  return port != nullptr ? port->tasks().begun() : 0;
}

/// Takes back what the worker has not begun. Returns how many tasks it has begun in its life, or will begin for
/// certain.
std::uint64_t WorkerHost::recall(std::uint32_t link, std::optional<JobId> dropped) {
  Port* const port = children_.port(link);
  std::uint64_t begun = dealer_.last_given(link);
  if (port != nullptr && port->tasks().begun() < begun && port->tasks().recalls() < link::TaskWords::most_recalls) {
    begun = port->tasks().recall();
    router_.send(to_child(link, Kind::child_recalled, 0), {});
  }
  dealer_.recalled(link, begun, dropped);
  return begun;
}

/// The task sees it if it looks; what it does then is its own affair.
void WorkerHost::ask_to_stop(std::uint32_t link, std::uint64_t number) {
  Port* const port = children_.port(link);
  if (port == nullptr) return;
  std::atomic<std::uint32_t>& stop = port->tasks().stop();
  stop.store(static_cast<std::uint32_t>(number), std::memory_order_release);
  link::futex_wake(&stop, 1);
}

void WorkerHost::stop() {
  stopped_ = true;
  dealer_.stop();
  act();
  for (const auto& [link, worker] : workers_) {
    const std::uint64_t number = begun(link);
    if (dealer_.job_of(link, number)) ask_to_stop(link, number);
  }
}

std::uint32_t WorkerHost::running() {
  return static_cast<std::uint32_t>(std::count_if(workers_.begin(), workers_.end(), [this](const auto& entry) {
    return dealer_.job_of(entry.first, begun(entry.first)).has_value();
  }));
}

// --- what workers say

void WorkerHost::on_child_frame(std::uint32_t link, link::Incoming& in) {
  Worker& worker = workers_.at(link);
  switch (in.head.kind) {
    case Kind::child_result:
      result(link, worker, in);
      break;
    case Kind::child_error:
      flush_merge(link, worker);
      child_error(link, in);
      act();
      break;
    case Kind::child_partial:
      flush_merge(link, worker);
      reductions_.flushed(link, in.head.token, in.body, std::move(in.slice));
      act();
      break;
    case Kind::child_ready: {
      worker.ready = true;
      worker.ready_since = std::chrono::steady_clock::now();
      const auto pool = pools_.find(worker.pool);
      if (pool != pools_.end() && !pool->second.stopping)
        dealer_.add_worker(worker.pool, link, pool->second.options.max_tasks_per_child);
      reductions_.worker_ready();
      act();
      break;
    }
    case Kind::child_init_error:
      fail_pool(worker.pool, in.body, {{}, std::move(in.slice)});
      break;
    default:
      throw wire::BadFrame("a pool worker sent a frame that is not its to send");
  }
}

void WorkerHost::result(std::uint32_t link, Worker& worker, link::Incoming& in) {
  std::span<const std::byte> results = in.body;
  const auto run = wire::take<wire::RunDone>(results);
  Merge& merge = worker.merge;
  if (merge.run.count != 0 &&
      (in.slice || merge.job != in.head.token || merge.run.first + merge.run.count != run.first ||
       merge.results.size() + results.size() > most_merged_bytes))
    flush_merge(link, worker);
  if (in.slice) {
    if (account(link, in.head.token, run)) {
      release(in.head.token, run.first, run.count);
      router_.send(to_scheduler(Kind::run_done, in.head.token), wire::bytes_of(run), {{}, std::move(in.slice)});
    }
    act();
    return;
  }
  if (merge.run.count == 0) {
    merge.job = in.head.token;
    merge.run = {run.first, 0, 0};
  }
  merge.run.count += run.count;
  merge.run.work += run.work;
  merge.results.insert(merge.results.end(), results.begin(), results.end());
}

void WorkerHost::flush_merge(std::uint32_t link, Worker& worker) {
  Merge& merge = worker.merge;
  if (merge.run.count == 0) return;
  if (account(link, merge.job, merge.run)) {
    if (reductions_.has(merge.job)) {
      reductions_.folded(link, merge.job, merge.run);
    } else {
      release(merge.job, merge.run.first, merge.run.count);
      router_.send(to_scheduler(Kind::run_done, merge.job), wire::bytes_of(merge.run), {merge.results, {}});
    }
  }
  merge.run.count = 0;
  merge.results.clear();
}

void WorkerHost::child_error(std::uint32_t link, link::Incoming& in) {
  const JobId id = in.head.token;
  std::span<const std::byte> body = in.body;
  const auto error = wire::take<wire::TaskError>(body);
  const bool counts =
      error.task == wire::no_task ? reductions_.has(id) : account(link, id, {error.task, 1, error.work});
  if (!counts) return;
  const Kind kind = reductions_.failed(id, error.task);
  if (!reductions_.has(id)) release(id, error.task, 1);
  router_.send(to_scheduler(kind, id), in.body, {{}, std::move(in.slice)});
}

/// Books ended tasks with the dealer; false if nobody waits for them any more. Their items are still here.
bool WorkerHost::account(std::uint32_t link, JobId job, const wire::RunDone& run) {
  if (!dealer_.finished(link, job, run.first, run.count, Nanoseconds(run.work))) return false;
  const auto found = jobs_.find(job);
  if (found == jobs_.end()) return false;
  const auto pool = pools_.find(found->second.fixed.pool);
  if (pool != pools_.end()) pool->second.idle_deaths = 0;
  return true;
}

void WorkerHost::on_child_batch(std::uint32_t link) {
  flush_merge(link, workers_.at(link));
  act();
}

void WorkerHost::on_child_ended(std::uint32_t link, pid_t pid, int wait_status, std::uint64_t begun) {
  const Worker worker = std::move(workers_.at(link));
  workers_.erase(link);
  const WorkerEnder::Part part = ender_.remove_worker(link, wait_status, begun);
  dealer_.remove_worker(link, begun, part != WorkerEnder::Part::innocent);
  const bool held_task = std::any_of(dealer_.actions().begin(), dealer_.actions().end(), [](const auto& action) {
    return std::holds_alternative<scheduler::TaskDied>(action);
  });
  const wire::TaskLost loss{.task = 0,
                            .wait_status = wait_status,
                            .pid = pid,
                            .rank = router_.layout().rank,
                            .attempts = 0,
                            .host = wire::host_name(router_.layout().host()),
                            .timed_out = part == WorkerEnder::Part::too_late ? 1u : 0u};
  reductions_.worker_died(link, held_task, loss);  // before anything is given to somebody
  act(loss);
  const auto found = pools_.find(worker.pool);
  if (found == pools_.end()) return;
  Pool& pool = found->second;
  pool.workers.erase(link);
  if (pool.stopping || worker.leaving) {
    report_if_gone(worker.pool);
    return;
  }
  const bool lived_briefly = std::chrono::steady_clock::now() - worker.ready_since < brief_life;
  const bool by_itself = part == WorkerEnder::Part::none && !held_task;
  const auto happens_too_often = [&] {
    if (!worker.ready && pool.options.has_initializer != 0) return true;  // that is to blame
    return (!worker.ready || lived_briefly) && ++pool.idle_deaths >= most_idle_deaths;
  };
  if (by_itself && happens_too_often()) {
    // it would die again and again: say so instead of starting it for ever
    WorkerLost::Data lost;
    lost.rank = router_.layout().rank;
    lost.host = router_.layout().host();
    lost.pid = pid;
    if (WIFSIGNALED(wait_status)) lost.signal = WTERMSIG(wait_status);
    if (WIFEXITED(wait_status)) lost.exit_code = WEXITSTATUS(wait_status);
    fail_pool(worker.pool, std::make_exception_ptr(WorkerLost(std::move(lost))));
    return;
  }
  if (!stopped_) start_worker(worker.pool, pool);
}

void WorkerHost::on_fork_failed(std::uint32_t link, int error) {
  const PoolId id = workers_.at(link).pool;
  workers_.erase(link);
  ender_.remove_worker(link, 0, 0);
  const auto pool = pools_.find(id);
  if (pool == pools_.end()) return;
  pool->second.workers.erase(link);
  if (!pool->second.stopping) fail_pool(id, no_worker({error, std::generic_category()}, router_.layout()));
  report_if_gone(id);
}

void WorkerHost::act(const wire::TaskLost& loss) {
  auto& actions = dealer_.actions();
  for (std::size_t i = 0; i < actions.size(); ++i) {
    if (const auto* next = std::get_if<scheduler::Give>(&actions[i])) {
      give(*next);
    } else if (const auto* retire = std::get_if<scheduler::Retire>(&actions[i])) {
      Worker& worker = workers_.at(retire->worker);
      worker.leaving = true;
      reductions_.worker_leaves(retire->worker);
      router_.send(to_child(retire->worker, Kind::child_stop, 0), {});
      const auto pool = pools_.find(worker.pool);
      if (pool != pools_.end() && !pool->second.stopping && !stopped_) start_worker(pool->first, pool->second);
    } else if (const auto* back = std::get_if<scheduler::Recall>(&actions[i])) {
      recall(back->worker);
    } else {
      const auto died = std::get<scheduler::TaskDied>(actions[i]);
      const auto job = jobs_.find(died.job);
      if (job == jobs_.end()) continue;
      wire::TaskLost lost = loss;
      lost.task = died.task;
      if (loss.timed_out != 0) lost.timed_out = job->second.fixed.time_limit;
      if (reductions_.lost(died.job, lost)) continue;
      job->second.items.ended(died.task, 1);
      router_.send(to_scheduler(Kind::task_lost, died.job), wire::bytes_of(lost));
    }
  }
  actions.clear();
  page_.busy_workers.store(dealer_.busy(), std::memory_order_relaxed);
}

void WorkerHost::give(const scheduler::Give& give) {
  const auto found = jobs_.find(give.run.job);
  if (found == jobs_.end()) return;
  teach(give.worker, give.run.job);
  const wire::RunItems run{give.run.first, give.run.count, give.run.chunk, give.run.attempt, give.run.priority};
  router_.send(to_child(give.worker, Kind::child_run, give.run.job), wire::bytes_of(run),
               found->second.items.items(run.first, run.count));
}

/// Sends the worker the callable of the job, unless it has it.
void WorkerHost::teach(std::uint32_t link, JobId id) {
  const Job& job = jobs_.at(id);
  if (workers_.at(link).jobs.insert(id).second)
    router_.send(to_child(link, Kind::child_job, id), wire::bytes_of(job.fixed), job.callable.view());
}

void WorkerHost::run_again(JobId id, scheduler::TaskIndex first, std::uint64_t count) {
  const Job& job = jobs_.at(id);
  while (count > 0) {
    const std::uint64_t together = job.items.together(first, count);
    dealer_.add_run(job.fixed.pool, {id, first, together, 1, 1}, true);
    first += together;
    count -= together;
  }
}

void WorkerHost::release(JobId id, scheduler::TaskIndex first, std::uint64_t count) {
  jobs_.at(id).items.ended(first, count);
}

std::optional<std::uint32_t> WorkerHost::spare(JobId id) {
  const auto pool = pools_.find(jobs_.at(id).fixed.pool);
  if (pool == pools_.end()) return std::nullopt;
  for (const std::uint32_t link : pool->second.workers) {
    const auto worker = workers_.find(link);
    if (worker != workers_.end() && worker->second.ready && !worker->second.leaving) return link;
  }
  return std::nullopt;
}

}  // namespace rankpool::engine
