#include "engine/pool_master.hpp"

#include <algorithm>
#include <csignal>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "scheduler/placement.hpp"
#include "scheduler/reduction_tree.hpp"
#include "wire/reduce.hpp"

namespace rankpool::engine {

using scheduler::JobId;
using scheduler::PoolId;
using wire::Kind;

namespace {

constexpr std::int32_t most_fold_retries = 1'000'000;
constexpr std::int32_t most_workers = 1'000'000;
constexpr auto longest_behind = std::chrono::milliseconds(2);  // a task waits at a rank while another is idle

}  // namespace

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
      pools_.at(found->second).closed = true;
      scheduler_.close_pool(found->second);
    } else {
      end_pool(found->second, head.flags != 0 ? static_cast<int>(head.flags) : SIGKILL);
    }
    return;
  }
  if (head.kind == Kind::pool_ask) {
    const auto found = pool_ids_.find(key);
    if (found == pool_ids_.end()) return;
    const ClientKey asker{head.from, wire::take<wire::PoolAsk>(body).request};
    return send_insights(to_client(asker, Kind::pool_numbers), pools_.at(found->second));
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
      stats_of(job).submitted(job.stats, items.count);
      tally_.submitted += items.count;
      scheduler_.add_items(id, items.count);
      break;
    }
    case Kind::job_skip: {
      const auto skip = wire::take<wire::JobSkip>(body);
      jobs_.at(id).item_count += skip.count;
      scheduler_.skip_items(id, skip.count);
      break;
    }
    case Kind::job_end:
      scheduler_.end_items(id);
      break;
    case Kind::job_cancel:
      cancel(id);
      break;
    case Kind::job_ask:
      ask(id, static_cast<wire::Ask>(head.flags));
      break;
    default:
      throw wire::BadFrame("the scheduler was sent a frame that is not for it");
  }
}

void PoolMaster::open_pool(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  const auto open = wire::take<wire::PoolOpen>(body);
  if (open.processes > most_workers) throw wire::BadFrame("a pool of more workers than there can be was asked for");
  if (router_.layout().all_slots() == 0) return no_workers({head.from, head.token});
  const PoolId id = next_id_++;
  Pool& pool = pools_[id];
  pool.client = {head.from, head.token};
  pool.workers = scheduler::place_workers(router_.layout().slots,
                                          open.processes > 0 ? std::optional<int>(open.processes) : std::nullopt);
  pool.stats = PoolStats(pool.workers);
  pool_ids_.emplace(pool.client, id);
  scheduler_.open_pool(id, pool.workers);
  if (is_drained(pool)) scheduler_.hold_pool(id);
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
  const auto fold_runs = static_cast<std::uint32_t>(std::min(open.retries, most_fold_retries)) + 1;
  const wire::RankJob fixed{pool->second, open.first_index, open.time_limit, open.item_bytes, fold_runs, open.fold, 0};
  const scheduler::JobOptions options{open.chunksize, open.retries, open.priority};
  jobs_.emplace(id, Job{.client = {head.from, head.token},
                        .pool = pool->second,
                        .options = options,
                        .fixed = fixed,
                        .callable = link::Payload({body, std::move(slice)}),
                        .items = ItemStore(open.item_bytes),
                        .awaited = head.flags});
  job_ids_.emplace(ClientKey{head.from, head.token}, id);
  pools_.at(pool->second).jobs.insert(id);
  scheduler_.submit(id, pool->second, options);
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
      ++tally_.ended;
      stats_of(job).failed(job.stats, from, error.work);
      job.failed = true;
      router_.send(to_client(job.client, Kind::job_error), body, {{}, std::move(slice)});
      break;
    }
    case Kind::task_lost: {
      const auto lost = wire::take<wire::TaskLost>(body);
      measure(from, 1, 0);
      task_lost(from, head.token, lost);
      break;
    }
    case Kind::rank_standing:
      answered(head);
      break;
    case Kind::runs_returned:
      runs_returned(head, {body, std::move(slice)});
      break;
    case Kind::worker_started:
      if (const auto pool = pools_.find(head.token); pool != pools_.end()) pool->second.stats.worker_started();
      break;
    case Kind::reduce_done:
    case Kind::reduce_error:
    case Kind::reduce_lost:
      from_reduction(head, body, std::move(slice));
      break;
    case Kind::workers_failed: {
      const auto pool = pools_.find(head.token);
      if (pool == pools_.end() || pool->second.over) break;
      router_.send(to_client(pool->second.client, Kind::pool_failed), body, {{}, std::move(slice)});
      end_pool(head.token, SIGKILL);
      break;
    }
    case Kind::workers_gone:
      workers_gone(head.token, from);
      break;
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
  tally_.ended += run.count;
  if (keeps_items(job)) {
    job.folded[head.from.rank].add(run.first, run.count);
  } else {
    job.items.ended(run.first, run.count);
  }
  stats_of(job).done(job.stats, head.from.rank, run.count, run.work);
  if (job.fixed.fold != detail::Fold::none) return;
  wire::Header to = to_client(job.client, Kind::job_results);
  to.flags = job.awaited;
  router_.send(to, body, {{}, std::move(slice)});
}

/// What is not sent can be answered here; the rest only by the rank that has it.
void PoolMaster::ask(JobId id, wire::Ask what) {
  Job& job = jobs_.at(id);
  wire::Header answer = to_client(job.client, Kind::job_standing);
  if (job.item_count > 1) {
    answer.flags = static_cast<std::uint32_t>(wire::Standing::running);
  } else if (const std::optional<int> holder = scheduler_.rank_of(id)) {
    job.asked.push_back(what);
    wire::Header question = to_rank(*holder, Kind::rank_ask, id);
    question.flags = static_cast<std::uint32_t>(what);
    return router_.send(question, {});
  } else if (what == wire::Ask::cancel) {
    answer.flags = static_cast<std::uint32_t>(wire::Standing::cancelled);
    cancel(id);
  } else {
    answer.flags = static_cast<std::uint32_t>(wire::Standing::waiting);
  }
  router_.send(answer, {});
}

void PoolMaster::answered(const wire::Header& head) {
  const auto found = jobs_.find(head.token);
  if (found == jobs_.end() || found->second.asked.empty()) return;
  Job& job = found->second;
  job.asked.erase(job.asked.begin());
  wire::Header answer = to_client(job.client, Kind::job_standing);
  answer.flags = head.flags;
  if (head.flags == static_cast<std::uint32_t>(wire::Standing::cancelled)) cancel(head.token);
  router_.send(answer, {});
}

void PoolMaster::task_lost(int from, JobId id, const wire::TaskLost& lost) {
  if (!scheduler_.lost(from, id, lost.task, {lost.wait_status, lost.pid, lost.timed_out})) return;
  Job& job = jobs_.at(id);
  stats_of(job).lost(job.stats);
  act();
  ask_again(id);
}

/// What the rank had not begun, and others shall run.
void PoolMaster::runs_returned(const wire::Header& head, const link::PayloadView& payload) {
  std::span<const std::byte> body = payload.read();
  std::vector<scheduler::Run> runs;
  while (!body.empty()) {
    const auto run = wire::take<wire::ReturnedRun>(body);
    runs.push_back({.job = run.job, .first = run.first, .count = run.count});
  }
  const int from = head.from.rank;
  runs = scheduler_.returned(from, head.token, std::move(runs));
  for (const scheduler::Run& run : runs) {
    Job& job = jobs_.at(run.job);
    stats_of(job).returned(job.stats, run.count);
    rank(from).under_way -= std::min(run.count, rank(from).under_way);
    rank(from).probing = false;
  }
  act();
  for (const scheduler::Run& run : runs) ask_again(run.job);
}

/// The rank that was asked did not have the task any more when it was, so it does not answer: ask where it is now.
void PoolMaster::ask_again(JobId id) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  for (const wire::Ask what : std::exchange(found->second.asked, {}))
    if (jobs_.contains(id)) ask(id, what);
}

std::chrono::steady_clock::time_point PoolMaster::look() {
  const auto now = std::chrono::steady_clock::now();
  if (!scheduler_.uneven()) return std::chrono::steady_clock::time_point::max();
  if (now < next_rebalance_) return next_rebalance_;
  next_rebalance_ = now + longest_behind;
  scheduler_.rebalance();
  if (scheduler_.actions().empty()) return next_rebalance_;
  act();
  return now;  // there is something to be sent: no time to rest
}

/// Forgets a job that has not ended.
void PoolMaster::cancel(JobId id) {
  scheduler_.cancel(id);
  const Job& job = jobs_.at(id);
  // What is taken back there is never reported. If a rank is believed to be idle too early, the time of the round trip
  // is too long to count.
  for (const int r : job.ranks) rank(r).under_way = 0;
  remove_job(id);
}

/// Ends the workers of a pool, by that signal or (0) when they have nothing left. Its client hears of it when the last
/// has gone.
void PoolMaster::end_pool(PoolId id, int signal) {
  Pool& pool = pools_.at(id);
  if (!pool.over || signal != 0) {
    for (std::size_t r = 0; r < pool.workers.size(); ++r) {
      const wire::WorkersStop stop{static_cast<std::uint32_t>(signal)};
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
  stats_of(job->second).forget(job->second.stats);
  job_ids_.erase(job->second.client);
  jobs_.erase(job);
}

void PoolMaster::send_insights(const wire::Header& head, const Pool& pool) {
  detail::Buffer numbers;
  pool.stats.write(numbers, router_.layout().hosts);
  if (const link::Slice slice = link::take_slice(numbers)) return router_.send(head, {}, {{}, slice});
  router_.send(head, {numbers.data(), numbers.size()});
}

void PoolMaster::end_job(JobId id) {
  router_.send(to_client(jobs_.at(id).client, Kind::job_done), {});
  remove_job(id);
}

void PoolMaster::remove_job(JobId id) {
  const PoolId pool_id = jobs_.at(id).pool;
  Pool& pool = pools_.at(pool_id);
  pool.jobs.erase(id);
  if (jobs_.at(id).reducing) --pool.reducing;
  forget_job(id);
  if (pool.ending && pool.reducing == 0) end_pool(pool_id, 0);
}

/// All tasks have ended: the ranks that had some reduce what they have to one value.
void PoolMaster::reduce(JobId id, Job& job) {
  job.reducing = true;
  ++pools_.at(job.pool).reducing;
  std::sort(job.ranks.begin(), job.ranks.end());
  for (std::size_t i = 0; i < job.ranks.size(); ++i) {
    const scheduler::TreePlace place = scheduler::tree_place(i, job.ranks.size());
    const int parent = place.parent < 0 ? -1 : job.ranks[static_cast<std::size_t>(place.parent)];
    const wire::RankReduce plan{parent, place.children};
    router_.send(to_rank(job.ranks[i], Kind::rank_reduce, id), wire::bytes_of(plan));
  }
}

void PoolMaster::from_reduction(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  const auto found = jobs_.find(head.token);
  if (found == jobs_.end()) return;
  Job& job = found->second;
  if (head.kind == Kind::reduce_done) {
    const wire::RunDone all{0, job.item_count, 0};
    if (slice || !body.empty())
      router_.send(to_client(job.client, Kind::job_results), wire::bytes_of(all), {body, std::move(slice)});
  } else {
    job.failed = true;
    const Kind kind = head.kind == Kind::reduce_error ? Kind::job_error : Kind::job_lost;
    router_.send(to_client(job.client, kind), body, {{}, std::move(slice)});
  }
  if (job.reducing) end_job(head.token);
}

// --- the end of the job

PoolMaster::Tally PoolMaster::open_tasks() const {
  Tally open;
  for (const auto& [id, job] : jobs_) {
    open.submitted += job.stats.submitted;
    open.ended += job.stats.ended;
  }
  return open;
}

void PoolMaster::drain(wire::Address client, int signal) {
  drained_client_ = client;
  drained_by_ = signal;
  for (const auto& [id, pool] : pools_)
    if (is_drained(pool)) scheduler_.hold_pool(id);
  act();
}

bool PoolMaster::drained() const {
  return std::all_of(pools_.begin(), pools_.end(), [this](const auto& entry) {
    const auto& [id, pool] = entry;
    return !is_drained(pool) || (pool.reducing == 0 && scheduler_.under_way(id) == 0);
  });
}

std::uint64_t PoolMaster::give_up() {
  std::uint64_t left = 0;
  std::vector<JobId> jobs;
  for (const auto& [id, pool] : pools_)
    if (is_drained(pool)) jobs.insert(jobs.end(), pool.jobs.begin(), pool.jobs.end());
  for (const JobId id : jobs) {
    const Job& job = jobs_.at(id);
    if (job.stats.submitted == job.stats.ended) continue;  // its input may be at its end
    left += job.stats.submitted - job.stats.ended;
    wire::Header told = to_client(job.client, Kind::interrupted);
    told.flags = static_cast<std::uint32_t>(drained_by_);
    router_.send(told, {});
    cancel(id);
  }
  if (!jobs.empty()) act();
  return left;
}

/// The workers of that rank have gone; if they were the last, the pool has ended.
void PoolMaster::workers_gone(PoolId id, int rank) {
  const auto pool = pools_.find(id);
  if (pool == pools_.end() || std::exchange(pool->second.workers[static_cast<std::size_t>(rank)], 0) == 0) return;
  if (--pool->second.ranks_left > 0) return;
  send_insights(to_client(pool->second.client, Kind::pool_ended), pool->second);
  pool_ids_.erase(pool->second.client);
  pools_.erase(pool);
}

void PoolMaster::client_gone(wire::Address client) {
  std::vector<PoolId> orphans;
  for (const auto& [id, pool] : pools_)
    if (pool.client.owner == client) orphans.push_back(id);
  for (const PoolId id : orphans) end_pool(id, SIGKILL);
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
      ++tally_.ended;
      job.failed = true;
      stats_of(job).lost_for_good(job.stats);
      const wire::TaskLost lost{
          fail->task,          fail->loss.wait_status,
          fail->loss.pid,      fail->rank,
          fail->attempts,      wire::host_name(router_.layout().hosts[static_cast<std::size_t>(fail->rank)]),
          fail->loss.timed_out};
      router_.send(to_client(job.client, Kind::job_lost), wire::bytes_of(lost));
    } else if (const auto* end = std::get_if<scheduler::EndJob>(&action)) {
      Job& job = jobs_.at(end->job);
      if (job.fixed.fold != detail::Fold::none && !job.failed && !job.ranks.empty()) {
        reduce(end->job, job);
      } else {
        end_job(end->job);
      }
    } else if (const auto* back = std::get_if<scheduler::AskBack>(&action)) {
      const wire::GiveBack give{back->count};
      router_.send(to_rank(back->rank, Kind::rank_give_back, back->pool), wire::bytes_of(give));
    } else {
      const PoolId id = std::get<scheduler::EndPool>(action).pool;
      Pool& pool = pools_.at(id);
      pool.ending = true;
      if (pool.reducing == 0) end_pool(id, 0);
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
  const wire::RunItems run{send.run.first, send.run.count, send.run.chunk, send.run.attempt, send.run.priority};
  stats_of(job).sent(job.stats, send.run.count);
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
