#include "engine/pool_master.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "scheduler/placement.hpp"

namespace rankpool::engine {

using scheduler::JobId;
using scheduler::PoolId;
using wire::Kind;

std::size_t PoolMaster::ClientKeyHash::operator()(const ClientKey& key) const noexcept {
  const std::uint64_t owner = static_cast<std::uint64_t>(key.owner.rank) << 32 | key.owner.link;
  return static_cast<std::size_t>((owner * 0x9e3779b97f4a7c15u) ^ (key.token * 0xbf58476d1ce4e5b9u));
}

void PoolMaster::on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  if (ranks_.empty()) ranks_.resize(static_cast<std::size_t>(router_.layout().ranks()));
  if (head.kind < Kind::job_results) {
    from_client(head, body, std::move(slice));
  } else {
    from_rank(head, body, std::move(slice));
  }
  act();
}

void PoolMaster::from_client(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  const ClientKey key{head.from, head.token};
  if (head.kind == Kind::pool_open) return open_pool(head, body, std::move(slice));
  if (head.kind == Kind::job_open) return open_job(head, body, std::move(slice));
  if (head.kind == Kind::pool_close || head.kind == Kind::pool_terminate) {
    const auto found = pool_ids_.find(key);
    if (found == pool_ids_.end()) return;
    if (head.kind == Kind::pool_close) {
      scheduler_.close_pool(found->second);
    } else {
      end_pool(found->second, true);
    }
    return;
  }
  const auto found = job_ids_.find(key);
  if (found == job_ids_.end()) return;  // its pool has failed or was terminated meanwhile
  const JobId id = found->second;
  switch (head.kind) {
    case Kind::job_items: {
      Job& job = jobs_.at(id);
      const auto items = wire::take<wire::JobItems>(body);
      job.items.add(job.item_count, items.count, {body, std::move(slice)});
      job.item_count += items.count;
      scheduler_.add_items(id, items.count);
      break;
    }
    case Kind::job_end:
      scheduler_.end_items(id);
      break;
    case Kind::job_cancel:
      scheduler_.cancel(id);
      pools_.at(jobs_.at(id).pool).jobs.erase(id);
      forget_job(id);
      break;
    default:
      throw wire::BadFrame("the scheduler was sent a frame that is not for it");
  }
}

void PoolMaster::open_pool(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  const auto open = wire::take<wire::PoolOpen>(body);
  const PoolId id = next_id_++;
  Pool& pool = pools_[id];
  pool.client = {head.from, head.token};
  pool.workers = scheduler::place_workers(router_.layout().slots,
                                          open.processes > 0 ? std::optional<int>(open.processes) : std::nullopt);
  pool_ids_.emplace(pool.client, id);
  scheduler_.open_pool(id, pool.workers);
  for (int r = 0; r < router_.layout().ranks(); ++r) {
    const int count = pool.workers[static_cast<std::size_t>(r)];
    if (count == 0) continue;
    ++pool.ranks_left;
    const wire::WorkersStart start{.count = static_cast<std::uint64_t>(count),
                                   .first_number = next_worker_,
                                   .max_tasks_per_child = open.max_tasks_per_child,
                                   .memory_limit = open.memory_limit,
                                   .has_initializer = open.has_initializer,
                                   .reserved = 0,
                                   .owner = open.owner};
    next_worker_ += static_cast<std::uint64_t>(count);
    router_.send(to_rank(r, Kind::workers_start, id), wire::bytes_of(start), {body, slice});
  }
}

void PoolMaster::open_job(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  const auto open = wire::take<wire::JobOpen>(body);
  const auto pool = pool_ids_.find({head.from, open.pool});
  if (pool == pool_ids_.end() || pools_.at(pool->second).over) return;
  const JobId id = next_id_++;
  const wire::RankJob fixed{pool->second, open.item_bytes, 0};
  jobs_.emplace(id, Job{{head.from, head.token},
                        pool->second,
                        fixed,
                        link::Payload({body, std::move(slice)}),
                        ItemStore(open.item_bytes),
                        0,
                        {}});
  job_ids_.emplace(ClientKey{head.from, head.token}, id);
  pools_.at(pool->second).jobs.insert(id);
  scheduler_.submit(id, pool->second, {open.chunksize, open.retries});
}

void PoolMaster::from_rank(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  const int from = head.from.rank;
  switch (head.kind) {
    case Kind::run_done:
      run_done(head, body, std::move(slice));
      break;
    case Kind::task_error: {
      std::span<const std::byte> rest = body;
      const auto error = wire::take<wire::TaskError>(rest);
      measure(from, 1, error.work);
      if (!scheduler_.finished(from, head.token, error.task, 1, std::chrono::nanoseconds(error.work))) break;
      Job& job = jobs_.at(head.token);
      job.items.ended(error.task, 1);
      router_.send(to_client(job.client, Kind::job_error), body, {{}, std::move(slice)});
      break;
    }
    case Kind::task_lost: {
      const auto lost = wire::take<wire::TaskLost>(body);
      measure(from, 1, 0);
      scheduler_.lost(from, head.token, lost.task, {lost.wait_status, lost.pid});
      break;
    }
    case Kind::workers_failed: {
      const auto pool = pools_.find(head.token);
      if (pool == pools_.end() || pool->second.over) break;
      router_.send(to_client(pool->second.client, Kind::pool_failed), body, {{}, std::move(slice)});
      end_pool(head.token, true);
      break;
    }
    case Kind::workers_gone: {
      const auto pool = pools_.find(head.token);
      if (pool == pools_.end() || --pool->second.ranks_left > 0) break;
      router_.send(to_client(pool->second.client, Kind::pool_ended), {});
      pool_ids_.erase(pool->second.client);
      pools_.erase(pool);
      break;
    }
    case Kind::client_gone:
      client_gone({from, static_cast<std::uint32_t>(head.token)});
      break;
    default:
      throw wire::BadFrame("the scheduler was sent a frame that is not for it");
  }
}

void PoolMaster::run_done(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  std::span<const std::byte> results = body;
  const auto run = wire::take<wire::RunDone>(results);
  measure(head.from.rank, run.count, run.work);
  if (!scheduler_.finished(head.from.rank, head.token, run.first, run.count, std::chrono::nanoseconds(run.work)))
    return;
  Job& job = jobs_.at(head.token);
  job.items.ended(run.first, run.count);
  router_.send(to_client(job.client, Kind::job_results), body, {{}, std::move(slice)});
}

/// Ends the workers of a pool. Its client hears of it when the last has gone.
void PoolMaster::end_pool(PoolId id, bool kill) {
  Pool& pool = pools_.at(id);
  if (!pool.over || kill) {
    for (std::size_t r = 0; r < pool.workers.size(); ++r) {
      const wire::WorkersStop stop{kill ? 1u : 0u};
      if (pool.workers[r] > 0) router_.send(to_rank(static_cast<int>(r), Kind::workers_stop, id), wire::bytes_of(stop));
    }
  }
  if (!pool.over) scheduler_.terminate_pool(id);
  pool.over = true;
  for (const JobId job : pool.jobs) forget_job(job);
  pool.jobs.clear();
}

/// Drops the data of a job here and at the ranks that have it.
void PoolMaster::forget_job(JobId id) {
  const auto job = jobs_.find(id);
  if (job == jobs_.end()) return;
  for (const int r : job->second.ranks) router_.send(to_rank(r, Kind::rank_job_end, id), {});
  job_ids_.erase(job->second.client);
  jobs_.erase(job);
}

void PoolMaster::client_gone(wire::Address client) {
  std::vector<PoolId> orphans;
  for (const auto& [id, pool] : pools_)
    if (pool.client.owner == client) orphans.push_back(id);
  for (const PoolId id : orphans) end_pool(id, true);
}

void PoolMaster::act() {
  auto& actions = scheduler_.actions();
  for (std::size_t i = 0; i < actions.size(); ++i) {
    const scheduler::Action action = actions[i];
    if (const auto* send = std::get_if<scheduler::SendRun>(&action)) {
      send_run(*send);
    } else if (const auto* fail = std::get_if<scheduler::FailTask>(&action)) {
      Job& job = jobs_.at(fail->job);
      job.items.ended(fail->task, 1);
      const wire::TaskLost lost{
          fail->task,     fail->loss.wait_status,
          fail->loss.pid, fail->rank,
          fail->attempts, wire::host_name(router_.layout().hosts[static_cast<std::size_t>(fail->rank)])};
      router_.send(to_client(job.client, Kind::job_lost), wire::bytes_of(lost));
    } else if (const auto* end = std::get_if<scheduler::EndJob>(&action)) {
      Job& job = jobs_.at(end->job);
      router_.send(to_client(job.client, Kind::job_done), {});
      pools_.at(job.pool).jobs.erase(end->job);
      forget_job(end->job);
    } else {
      const PoolId pool = std::get<scheduler::EndPool>(action).pool;
      end_pool(pool, false);
    }
  }
  actions.clear();
}

void PoolMaster::send_run(const scheduler::SendRun& send) {
  const auto found = jobs_.find(send.run.job);
  if (found == jobs_.end()) return;
  Job& job = found->second;
  if (std::find(job.ranks.begin(), job.ranks.end(), send.rank) == job.ranks.end()) {
    job.ranks.push_back(send.rank);
    router_.send(to_rank(send.rank, Kind::rank_job, send.run.job), wire::bytes_of(job.fixed), job.callable.view());
  }
  Rank& there = rank(send.rank);
  if (there.under_way == 0) {
    there.probing = true;
    there.probe_sent = std::chrono::steady_clock::now();
  }
  there.under_way += send.run.count;
  const wire::RunItems run{send.run.first, send.run.count, send.run.chunk};
  router_.send(to_rank(send.rank, Kind::rank_run, send.run.job), wire::bytes_of(run),
               job.items.items(run.first, run.count));
}

/// What a run took beyond its computing, if it went to an idle rank and came back whole, is a round trip.
void PoolMaster::measure(int number, std::uint64_t count, std::uint64_t work) {
  Rank& there = rank(number);
  there.under_way -= std::min(count, there.under_way);
  if (!there.probing) return;
  there.probing = false;
  const auto sample = std::chrono::steady_clock::now() - there.probe_sent - std::chrono::nanoseconds(work);
  if (sample.count() <= 0 || (round_trip_.count() != 0 && sample >= round_trip_)) return;
  round_trip_ = sample;
  scheduler_.set_round_trip(round_trip_);
}

}  // namespace rankpool::engine
