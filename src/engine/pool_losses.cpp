// What the pools do when a rank is lost.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include <rankpool/errors.hpp>

#include "engine/pool_master.hpp"
#include "wire/error_record.hpp"

namespace rankpool::engine {

using scheduler::JobId;
using scheduler::PoolId;
using wire::Kind;

void PoolMaster::rank_lost(int lost) {
  if (ranks_.empty()) ranks_.resize(static_cast<std::size_t>(router_.layout().ranks()));
  rank(lost) = {};
  std::vector<PoolId> orphans;
  for (const auto& [id, pool] : pools_)
    if (pool.client.owner.rank == lost) orphans.push_back(id);
  for (const PoolId id : orphans) end_pool(id, SIGKILL);

  std::vector<JobId> unanswered;
  std::vector<JobId> reducing;
  for (const auto& [id, job] : jobs_) {
    const bool took_part = std::find(job.ranks.begin(), job.ranks.end(), lost) != job.ranks.end();
    if (!job.asked.empty() && scheduler_.rank_of(id) == lost) unanswered.push_back(id);
    if (job.reducing && took_part) reducing.push_back(id);
  }
  std::vector<PoolId> emptied;
  for (auto& [id, pool] : pools_) {
    if (pool.workers[static_cast<std::size_t>(lost)] == 0) continue;
    pool.stats.rank_lost(lost);
    if (pool.ranks_left == 1 && !pool.over) {
      pool_failed(pool.client, "the last workers of this pool were on " + name_of(lost) + ", which is lost", lost);
      end_pool(id, SIGKILL);
    }
    emptied.push_back(id);
  }
  for (const PoolId id : emptied) workers_gone(id, lost);

  for (const scheduler::Run& run : scheduler_.lose_rank(lost)) {
    Job& job = jobs_.at(run.job);
    stats_of(job).returned(job.stats, run.count);
  }
  for (auto& [id, job] : jobs_) {
    std::erase(job.ranks, lost);
    if (!job.reducing) run_folded_again(id, job, lost);
  }
  for (const JobId id : reducing) compute_again(id);
  act();
  for (const JobId id : unanswered) ask_again(id);
}

/// The tasks whose values were at that rank.
void PoolMaster::run_folded_again(JobId id, Job& job, int lost) {
  const auto found = job.folded.find(lost);
  if (found == job.folded.end()) return;
  const scheduler::TaskSet tasks = std::move(found->second);
  job.folded.erase(found);
  if (job.failed) return;
  for (const auto& [begin, end] : tasks.intervals()) {
    stats_of(job).undone(job.stats, end - begin);
    for (std::uint64_t first = begin; first < end;) {
      const std::uint64_t count = job.items.together(first, end - first);
      scheduler_.run_again(id, first, count);
      first += count;
    }
  }
}

/// The values of the ranks were just being reduced, and it is not known which of them are contained in others: so all
/// is done again, as a new job, since what ranks still say of the old one does not count.
void PoolMaster::compute_again(JobId old) {
  const auto found = jobs_.find(old);
  if (found == jobs_.end()) return;
  const JobId id = next_id_++;
  Job& job = jobs_.emplace(id, std::move(found->second)).first->second;
  jobs_.erase(old);
  for (const int r : std::exchange(job.ranks, {})) router_.send(to_rank(r, Kind::rank_job_end, old), {});
  stats_of(job).undone(job.stats, job.stats.ended);
  job.folded.clear();
  job.reducing = false;
  job_ids_.at(job.client) = id;
  Pool& pool = pools_.at(job.pool);
  pool.jobs.erase(old);
  pool.jobs.insert(id);
  --pool.reducing;

  if (std::exchange(pool.ending, false)) {
    scheduler_.open_pool(job.pool, pool.workers);
  } else {
    scheduler_.reopen_pool(job.pool);
  }
  scheduler_.submit(id, job.pool, job.options);
  for (std::uint64_t first = 0; first < job.item_count;) {
    const std::uint64_t count = job.items.together(first, job.item_count - first);
    scheduler_.add_items(id, count);
    first += count;
  }
  scheduler_.end_items(id);
  if (pool.closed) scheduler_.close_pool(job.pool);
}

std::string PoolMaster::name_of(int rank) const {
  return "rank " + std::to_string(rank) + " (host " + router_.layout().hosts[static_cast<std::size_t>(rank)] + ")";
}

/// A pool is opened when all ranks with slots are lost.
void PoolMaster::no_workers(const ClientKey& client) {
  const std::vector<bool>& lost = router_.layout().lost;
  const auto last = static_cast<int>(std::find(lost.rbegin(), lost.rend(), true).base() - lost.begin()) - 1;
  pool_failed(client, "no rank with slots is left: " + name_of(last) + " was lost too", last);
  Pool none;
  none.stats = PoolStats(std::vector<int>(lost.size()));
  send_insights(to_client(client, Kind::pool_ended), none);
}

void PoolMaster::pool_failed(const ClientKey& client, const std::string& why, int lost) {
  const Layout& layout = router_.layout();
  detail::Buffer record;
  try {
    throw RankLost(why + ": start the job with more ranks" +
                       (layout.all_slots() > 0 ? ", or make another Pool, which takes those that are left" : ""),
                   lost);
  } catch (const RankLost&) {
    wire::describe_current_exception().encode(record);
  }
  const wire::TaskError where{
      .task = wire::no_task, .work = 0, .rank = layout.rank, .pid = ::getpid(), .host = wire::host_name(layout.host())};
  router_.send(to_client(client, Kind::pool_failed), wire::bytes_of(where), {{record.data(), record.size()}, {}});
}

}  // namespace rankpool::engine
