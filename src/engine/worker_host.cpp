#include "engine/worker_host.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <string>
#include <system_error>
#include <utility>
#include <variant>

#include <rankpool/errors.hpp>

#include "wire/error_record.hpp"

namespace rankpool::engine {
namespace {

using scheduler::JobId;
using scheduler::Nanoseconds;
using scheduler::PoolId;
using wire::Kind;

constexpr std::size_t most_merged_bytes = 32 * 1024;  // a merged frame stays within wire::max_body
constexpr int most_idle_deaths = 8;
constexpr auto brief_life = std::chrono::seconds(1);

}  // namespace

void WorkerHost::on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  switch (head.kind) {
    case Kind::workers_start:
      start_workers(head.token, body, std::move(slice));
      break;
    case Kind::workers_stop:
      stop_workers(head.token, wire::take<wire::WorkersStop>(body).kill != 0);
      break;
    case Kind::rank_job: {
      const auto fixed = wire::take<wire::RankJob>(body);
      jobs_.emplace(head.token, Job{fixed, link::Payload({body, std::move(slice)}), ItemStore(fixed.item_bytes)});
      break;
    }
    case Kind::rank_run: {
      const auto run = wire::take<wire::RunItems>(body);
      const auto job = jobs_.find(head.token);
      if (job == jobs_.end()) break;
      job->second.items.add(run.first, run.count, {body, std::move(slice)});
      dealer_.add_run(job->second.fixed.pool, {head.token, run.first, run.count, run.chunk});
      break;
    }
    case Kind::rank_job_end:
      forget_job(head.token);
      break;
    default:
      throw wire::BadFrame("an engine was sent a frame that is not for engines");
  }
  act();
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
  } catch (...) {
    fail_pool(id, std::current_exception());
    return;
  }
  pool.workers.insert(link);
  workers_[link].pool = id;
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
                               .parent = pool.options.owner,
                               .host = wire::host_name(layout.host()),
                               .name = wire::process_name("PoolWorker-" + number),
                               .number = wire::process_name(number)};
  router_.send(to_child(link, Kind::child_start, 0), wire::bytes_of(start), pool.initializer.view());
}

void WorkerHost::stop_workers(PoolId id, bool kill) {
  const auto found = pools_.find(id);
  if (found == pools_.end()) return;
  Pool& pool = found->second;
  pool.stopping = true;
  dealer_.forget_pool(id);
  for (const std::uint32_t link : pool.workers) {
    if (kill) {
      children_.signal(link, SIGKILL);
    } else {
      router_.send(to_child(link, Kind::child_stop, 0), {});
    }
    workers_[link].leaving = true;
  }
  std::erase_if(jobs_, [&](const auto& job) { return job.second.fixed.pool == id; });
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
  if (pool == pools_.end() || !pool->second.stopping || !pool->second.workers.empty()) return;
  router_.send(to_scheduler(Kind::workers_gone, id), {});
  pools_.erase(pool);
}

void WorkerHost::forget_job(JobId id) {
  if (jobs_.erase(id) == 0) return;
  dealer_.forget_job(id);
  for (auto& [link, worker] : workers_)
    if (worker.jobs.erase(id) != 0) router_.send(to_child(link, Kind::child_job_end, id), {});
}

void WorkerHost::on_child_frame(std::uint32_t link, link::Incoming& in) {
  Worker& worker = workers_.at(link);
  switch (in.head.kind) {
    case Kind::child_result:
      result(link, worker, in);
      break;
    case Kind::child_error: {
      flush_merge(link, worker);
      std::span<const std::byte> body = in.body;
      const auto error = wire::take<wire::TaskError>(body);
      if (account(link, in.head.token, {error.task, 1, error.work}))
        router_.send(to_scheduler(Kind::task_error, in.head.token), in.body, {{}, std::move(in.slice)});
      act();
      break;
    }
    case Kind::child_ready: {
      worker.ready = true;
      worker.ready_since = std::chrono::steady_clock::now();
      const auto pool = pools_.find(worker.pool);
      if (pool != pools_.end() && !pool->second.stopping)
        dealer_.add_worker(worker.pool, link, pool->second.options.max_tasks_per_child);
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
    if (account(link, in.head.token, run))
      router_.send(to_scheduler(Kind::run_done, in.head.token), wire::bytes_of(run), {{}, std::move(in.slice)});
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
  if (account(link, merge.job, merge.run))
    router_.send(to_scheduler(Kind::run_done, merge.job), wire::bytes_of(merge.run), {merge.results, {}});
  merge.run.count = 0;
  merge.results.clear();
}

/// Books ended tasks with the dealer; false if nobody waits for them any more.
bool WorkerHost::account(std::uint32_t link, JobId job, const wire::RunDone& run) {
  if (!dealer_.finished(link, job, run.first, run.count, Nanoseconds(run.work))) return false;
  const auto found = jobs_.find(job);
  if (found == jobs_.end()) return false;
  found->second.items.ended(run.first, run.count);
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
  dealer_.remove_worker(link, begun);
  const bool held_task = std::any_of(dealer_.actions().begin(), dealer_.actions().end(), [](const auto& action) {
    return std::holds_alternative<scheduler::TaskDied>(action);
  });
  act({.task = 0,
       .wait_status = wait_status,
       .pid = pid,
       .rank = router_.layout().rank,
       .attempts = 0,
       .host = wire::host_name(router_.layout().host())});
  const auto found = pools_.find(worker.pool);
  if (found == pools_.end()) return;
  Pool& pool = found->second;
  pool.workers.erase(link);
  if (pool.stopping || worker.leaving) {
    report_if_gone(worker.pool);
    return;
  }
  const bool lived_briefly = std::chrono::steady_clock::now() - worker.ready_since < brief_life;
  if (!held_task && (!worker.ready || (lived_briefly && ++pool.idle_deaths >= most_idle_deaths))) {
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
  start_worker(worker.pool, pool);
}

void WorkerHost::on_fork_failed(std::uint32_t link, int error) {
  const PoolId id = workers_.at(link).pool;
  workers_.erase(link);
  const auto pool = pools_.find(id);
  if (pool == pools_.end()) return;
  pool->second.workers.erase(link);
  if (!pool->second.stopping)
    fail_pool(
        id, std::make_exception_ptr(std::system_error(
                error, std::generic_category(),
                "rank " + std::to_string(router_.layout().rank) + " (" + router_.layout().host() +
                    ") cannot start a worker process: raise the limit on processes (ulimit -u) or use fewer workers")));
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
      router_.send(to_child(retire->worker, Kind::child_stop, 0), {});
      const auto pool = pools_.find(worker.pool);
      if (pool != pools_.end() && !pool->second.stopping) start_worker(pool->first, pool->second);
    } else {
      const auto& died = std::get<scheduler::TaskDied>(actions[i]);
      const auto job = jobs_.find(died.job);
      if (job == jobs_.end()) continue;
      job->second.items.ended(died.task, 1);
      wire::TaskLost lost = loss;
      lost.task = died.task;
      router_.send(to_scheduler(Kind::task_lost, died.job), wire::bytes_of(lost));
    }
  }
  actions.clear();
  page_.busy_workers.store(dealer_.busy(), std::memory_order_relaxed);
}

void WorkerHost::give(const scheduler::Give& give) {
  const auto found = jobs_.find(give.run.job);
  if (found == jobs_.end()) return;
  Job& job = found->second;
  if (workers_.at(give.worker).jobs.insert(give.run.job).second)
    router_.send(to_child(give.worker, Kind::child_job, give.run.job), wire::bytes_of(job.fixed), job.callable.view());
  const wire::RunItems run{give.run.first, give.run.count, give.run.chunk};
  router_.send(to_child(give.worker, Kind::child_run, give.run.job), wire::bytes_of(run),
               job.items.items(run.first, run.count));
}

}  // namespace rankpool::engine
