#include "scheduler/pool_scheduler.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "scheduler/pool_state.hpp"

namespace rankpool::scheduler {

namespace {

constexpr std::uint64_t most_urgent_tasks = 8192;  // of one priority, at a rank that has lower ones

std::uint64_t chunks_in(std::uint64_t tasks, std::uint64_t chunk) noexcept {
  return chunk == 1 ? tasks : tasks / chunk + (tasks % chunk != 0 ? 1 : 0);
}

// A message that brings less is not worth it while the workers of the rank have something to do.
std::uint64_t least_refill(std::uint64_t limit, std::uint64_t workers) noexcept {
  return limit > 4 * workers ? limit / 2 : std::max<std::uint64_t>(1, (limit + 3) / 4);
}

}  // namespace

PoolScheduler::PoolScheduler() = default;
PoolScheduler::~PoolScheduler() = default;

void PoolScheduler::set_round_trip(Nanoseconds round_trip) { timing_.set_round_trip(round_trip); }

PoolScheduler::Job* PoolScheduler::find_job(JobId id) {
  if (recent_ != nullptr && recent_->id == id) return recent_;
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return nullptr;
  return recent_ = found->second.get();
}

PoolScheduler::Pool* PoolScheduler::find_pool(PoolId id) {
  const auto found = pools_.find(id);
  return found == pools_.end() ? nullptr : found->second.get();
}

// --- pools

void PoolScheduler::open_pool(PoolId id, std::vector<int> workers) {
  auto pool = std::make_unique<Pool>(id, uneven_);
  pool->ranks.resize(workers.size());
  for (std::size_t rank = 0; rank < workers.size(); ++rank) {
    pool->ranks[rank].workers = static_cast<std::uint64_t>(std::max(0, workers[rank]));
    pool->workers += pool->ranks[rank].workers;
    pool->sort(static_cast<int>(rank));
  }
  pools_.emplace(id, std::move(pool));
}

void PoolScheduler::set_workers(PoolId id, int rank, int workers) {
  Pool* pool = find_pool(id);
  Rank* at = pool != nullptr ? pool->find(rank) : nullptr;
  if (at == nullptr) return;
  const auto count = static_cast<std::uint64_t>(std::max(0, workers));
  pool->workers += count - at->workers;
  at->workers = count;
  at->season = 0;
  at->stuck = at->barren = false;
  pool->sort(rank);
  serve_all(*pool);
}

void PoolScheduler::close_pool(PoolId id) {
  Pool* pool = find_pool(id);
  if (pool == nullptr) return;
  pool->closed = true;
  end_if_idle(*pool);
}

void PoolScheduler::hold_pool(PoolId id) {
  Pool* pool = find_pool(id);
  if (pool == nullptr) return;
  pool->on_hold = true;
  for (std::size_t rank = 0; rank < pool->ranks.size(); ++rank) {
    if (pool->ranks[rank].ledger.tasks() > 0) actions_.push_back(AskBack{static_cast<int>(rank), id, everything});
  }
}

std::uint64_t PoolScheduler::under_way(PoolId id) const {
  const auto found = pools_.find(id);
  if (found == pools_.end()) return 0;
  std::uint64_t tasks = 0;
  for (const Rank& rank : found->second->ranks) tasks += rank.ledger.tasks();
  return tasks;
}

void PoolScheduler::reopen_pool(PoolId id) {
  if (Pool* pool = find_pool(id)) pool->closed = false;
}

void PoolScheduler::terminate_pool(PoolId id) {
  const auto found = pools_.find(id);
  if (found == pools_.end()) return;
  recent_ = nullptr;
  std::erase_if(jobs_, [pool = found->second.get()](const auto& entry) { return entry.second->pool == pool; });
  std::erase(uneven_, id);
  pools_.erase(found);
}

void PoolScheduler::end_if_idle(Pool& pool) {
  if (!pool.closed || pool.jobs > 0) return;
  const PoolId id = pool.id;
  actions_.push_back(EndPool{id});
  std::erase(uneven_, id);
  pools_.erase(id);
}

// --- jobs

void PoolScheduler::submit(JobId id, PoolId pool_id, JobOptions options) {
  Pool* pool = find_pool(pool_id);
  if (pool == nullptr || pool->closed) return;
  const auto [entry, is_new] = jobs_.try_emplace(id);
  if (!is_new) return;
  entry->second = std::make_unique<Job>(id, *pool, pool->next_number++, options);
  recent_ = entry->second.get();
  ++pool->jobs;
}

void PoolScheduler::add_items(JobId id, std::uint64_t count) {
  Job* job = find_job(id);
  if (job == nullptr || job->all_known || count == 0) return;
  Pool& pool = *job->pool;
  const bool comes_first = !pool.has_unsent() || job->priority > pool.next_priority();
  const bool is_queued = job->unsent() > 0;
  const Job::Block block{job->known, job->known + count};
  job->known = block.last;
  job->left += count;
  pool.unsent += count;
  if (is_queued) {
    job->blocks.push_back(block);
  } else {
    job->next = block.first;
    job->block_end = block.last;
    pool.queue(*job);
  }
  // With something unsent before that comes first, every rank has got what it may have.
  if (!comes_first) return;
  ++pool.season;
  serve_all(pool);
}

void PoolScheduler::skip_items(JobId id, std::uint64_t count) {
  Job* job = find_job(id);
  if (job == nullptr || job->all_known) return;
  job->known += count;
  job->ended += count;
}

void PoolScheduler::end_items(JobId id) {
  Job* job = find_job(id);
  if (job == nullptr) return;
  job->all_known = true;
  end_if_complete(*job);
}

void PoolScheduler::cancel(JobId id) {
  Job* job = find_job(id);
  if (job == nullptr) return;
  Pool& pool = *job->pool;
  const auto forget_at = [&](int rank) {
    pool.book(pool.ranks[static_cast<std::size_t>(rank)], job->priority,
              [job](Ledger& ledger) { ledger.forget(job->number); });
    pool.sort(rank);
  };
  if (job->rank >= 0) forget_at(job->rank);
  if (job->rank == Job::many_ranks) {
    for (int rank = 0; rank < static_cast<int>(pool.ranks.size()); ++rank) forget_at(rank);
  }
  const bool had_sent = job->rank != Job::nowhere;
  if (job->unsent() > 0) pool.unqueue(*job);
  pool.unsent -= job->unsent();
  if (job->again) std::erase_if(pool.again, [job](const Again& entry) { return entry.job == job; });
  if (had_sent) serve_all(pool);
  forget(*job);
}

void PoolScheduler::end_if_complete(Job& job) {
  if (!job.complete()) return;
  actions_.push_back(EndJob{job.id});
  forget(job);
}

void PoolScheduler::forget(Job& job) {
  Pool& pool = *job.pool;
  if (recent_ == &job) recent_ = nullptr;
  jobs_.erase(JobId{job.id});
  --pool.jobs;
  end_if_idle(pool);
}

// --- reports

bool PoolScheduler::finished(int rank, JobId id, TaskIndex first, std::uint64_t count, Nanoseconds work) {
  Job* job = find_job(id);
  Rank* at = job != nullptr ? job->pool->find(rank) : nullptr;
  if (at == nullptr) return false;
  Pool& pool = *job->pool;
  std::optional<std::uint64_t> chunk;
  pool.book(*at, job->priority, [&](Ledger& ledger) { chunk = ledger.take(job->number, first, count); });
  if (!chunk) return false;
  job->ended += count;
  at->stuck = at->barren = false;
  if (job->single()) pool.singles.measured(count, *chunk, work);
  job->policy.measured(count, *chunk, work, timing_);
  pool.sort(rank);
  if (pool.has_unsent() && (at->free > 0 || at->season != pool.season || at->chunks() <= at->refill_at ||
                            pool.is_urgent(pool.next_priority()))) {
    serve(pool, rank);
  }
  end_if_complete(*job);
  return true;
}

bool PoolScheduler::lost(int rank, JobId id, TaskIndex task, Loss loss) {
  Job* job = find_job(id);
  Rank* at = job != nullptr ? job->pool->find(rank) : nullptr;
  if (at == nullptr) return false;
  Pool& pool = *job->pool;
  bool is_here = false;
  pool.book(*at, job->priority, [&](Ledger& ledger) { is_here = ledger.take(job->number, task, 1).has_value(); });
  if (!is_here) return false;
  at->stuck = at->barren = false;
  pool.sort(rank);
  if (!job->losses) job->losses = std::make_unique<std::unordered_map<TaskIndex, int>>();
  const int attempts = ++(*job->losses)[task];
  if (attempts > job->retries) {
    job->losses->erase(task);
    ++job->ended;
    actions_.push_back(FailTask{id, task, rank, loss, attempts});
  } else {
    pool.repeat(*job, Run{id, task, 1, 1});
  }
  serve_all(pool);
  end_if_complete(*job);
  return true;
}

void PoolScheduler::run_again(JobId id, TaskIndex first, std::uint64_t count) {
  Job* job = find_job(id);
  if (job == nullptr || count == 0) return;
  Pool& pool = *job->pool;
  job->ended -= count;
  const std::uint64_t share = std::max<std::uint64_t>(1, count / (4 * std::max<std::uint64_t>(1, pool.workers)));
  for (const TaskIndex last = first + count; first < last;) {
    TaskIndex next = job->losses ? first + 1 : last;  // a run has one number of losses, and a lost task is alone in it
    if (job->losses_of(first) == 0)
      while (next < last && job->losses_of(next) == 0) ++next;
    pool.repeat(*job, Run{id, first, next - first, share});
    first = next;
  }
  serve_all(pool);
}

std::vector<Run> PoolScheduler::lose_rank(int rank) {
  std::vector<Run> runs;
  for (const auto& [id, pool] : pools_) {
    Rank* at = pool->find(rank);
    if (at == nullptr) continue;
    std::unordered_map<std::uint64_t, Job*> by_number;
    for (const auto& [job_id, job] : jobs_) {
      if (job->pool == pool.get()) by_number.emplace(job->number, job.get());
    }
    for (const Ledger::Piece& piece : at->ledger.pieces()) {
      Job* job = by_number.at(piece.job);
      runs.push_back({.job = job->id, .first = piece.first, .count = piece.last - piece.first, .chunk = piece.chunk});
      pool->repeat(*job, runs.back());
    }
    at->ledger.clear();
    at->asked = false;
    pool->under_way.remove(at->by_priority);
    at->by_priority.clear();
    set_workers(id, rank, 0);
  }
  return runs;
}

// --- tasks that wait where others are not

void PoolScheduler::rebalance() {
  std::erase_if(uneven_, [this](PoolId id) {
    Pool& pool = *pools_.at(id);
    pool.watched = ask_back(pool);
    return !pool.watched;
  });
}

// Asks for as much as the idle workers of other ranks need, but for a fair share if more is there. False if there is
// nothing to wait for before something changes.
bool PoolScheduler::ask_back(Pool& pool) {
  if (pool.on_hold || !pool.is_uneven()) return false;
  bool any = false;
  std::uint64_t idle = pool.idle;
  for (std::size_t rank = 0; rank < pool.ranks.size(); ++rank) {
    Rank& at = pool.ranks[rank];
    if (!at.over || at.asked || at.barren) continue;
    any = true;
    const std::uint64_t ended = at.sent - at.ledger.tasks();
    const bool stands = at.seen > ended + at.workers;
    at.seen = at.sent;
    if (!stands || idle == 0) continue;
    const std::uint64_t surplus = at.ledger.tasks() - at.workers;
    const double share = static_cast<double>(idle) / static_cast<double>(idle + at.workers);
    const std::uint64_t count =
        std::max(std::min(surplus, idle), static_cast<std::uint64_t>(static_cast<double>(surplus) * share));
    idle -= std::min(idle, count);
    at.asked = at.stuck = true;
    pool.sort(static_cast<int>(rank));
    actions_.push_back(AskBack{static_cast<int>(rank), pool.id, count});
  }
  return any;
}

std::vector<Run> PoolScheduler::returned(int rank, PoolId id, std::vector<Run> runs) {
  Pool* pool = find_pool(id);
  Rank* at = pool != nullptr ? pool->find(rank) : nullptr;
  if (at == nullptr) return {};
  std::uint64_t tasks = 0;
  std::erase_if(runs, [&](Run& run) {
    Job* job = find_job(run.job);
    if (job == nullptr || job->pool != pool) return true;
    std::optional<std::uint64_t> chunk;
    pool->book(*at, job->priority, [&](Ledger& ledger) { chunk = ledger.take(job->number, run.first, run.count); });
    run.chunk = chunk.value_or(1);
    if (chunk) tasks += run.count;
    return !chunk;
  });
  // as where few are left of a job: whoever is free gets some
  const std::uint64_t most = std::max<std::uint64_t>(1, tasks / (4 * std::max<std::uint64_t>(1, pool->workers)));
  for (Run& run : runs) {
    run.chunk = std::min({run.chunk, run.count, most});
    pool->repeat(*find_job(run.job), run);
  }
  at->asked = false;
  at->barren = runs.empty();
  at->stuck = !runs.empty();
  pool->sort(rank);
  if (!runs.empty()) serve_all(*pool);
  return runs;
}

std::optional<int> PoolScheduler::rank_of(JobId id) {
  Job* job = find_job(id);
  if (job == nullptr || job->unsent() > 0 || job->rank == Job::nowhere) return std::nullopt;
  const std::vector<Rank>& ranks = job->pool->ranks;
  const auto has_it = [job](const Rank& rank) { return rank.ledger.has(job->number); };
  const auto found = job->rank >= 0 ? ranks.begin() + job->rank : std::find_if(ranks.begin(), ranks.end(), has_it);
  if (found == ranks.end() || !has_it(*found)) return std::nullopt;
  return static_cast<int>(found - ranks.begin());
}

// --- sending

PoolScheduler::Offer PoolScheduler::next_offer(Pool& pool) {
  Offer offer;
  while (!pool.ready.empty() && pool.ready.front().job == nullptr) pool.ready.pop_front();
  if (pool.again_is_next()) {
    const Again& again = pool.again.front();
    offer.job = again.job;
    offer.chunk = std::min(again.run.chunk, again.run.count);
    offer.chunks = chunks_in(again.run.count, offer.chunk);
    offer.supply = offer.chunks + pool.again.size() - 1 + pool.unsent;
    offer.again = true;
    return offer;
  }
  if (pool.ready.empty()) return offer;
  Job& job = *pool.ready.front().job;
  const std::uint64_t tasks = job.block_end - job.next;
  offer.job = &job;
  offer.chunk = std::min(job.policy.chunk(job.unsent(), pool.workers), tasks);
  offer.chunks = chunks_in(tasks, offer.chunk);
  offer.supply = job.single() ? pool.unsent : chunks_in(job.unsent(), offer.chunk);
  return offer;
}

std::uint64_t PoolScheduler::window(const Pool& pool, const Rank& rank, const Offer& offer) const {
  const Pace& pace = offer.job->single() ? pool.singles : offer.job->policy.pace();
  return window_chunks(pace, offer.chunk, Supply{offer.supply, pool.workers}, timing_) * rank.workers;
}

// Chunks that the rank may have now. `any`: however few; otherwise a refill must be worth a message, unless a worker
// waits.
std::uint64_t PoolScheduler::allowance(const Pool& pool, const Rank& rank, const Offer& offer, bool any) const {
  if (pool.is_urgent(offer.priority())) return urgent_allowance(pool, rank, offer);
  if (rank.stuck) return rank.free;
  const std::uint64_t limit = window(pool, rank, offer);
  if (rank.chunks() >= limit) return 0;
  const std::uint64_t room = limit - rank.chunks();
  if (rank.free == 0 && !any && room < least_refill(limit, rank.workers)) return 0;
  if (room == rank.free || offer.supply <= pool.free) return rank.free;
  // What is sent ahead is a share of what is left after all free workers have theirs, so that no rank takes the rest
  // alone.
  const double share = static_cast<double>(offer.supply - pool.free) * static_cast<double>(rank.workers) /
                       static_cast<double>(pool.workers);
  if (share >= static_cast<double>(room - rank.free)) return room;
  return rank.free + static_cast<std::uint64_t>(share);
}

// The same where tasks of lower priority are under way: each priority has a window of its own. It is never so small
// that the rank would begin something lower before its report was answered; and if there is no other rank to be fair
// to, as large as can be.
std::uint64_t PoolScheduler::urgent_allowance(const Pool& pool, const Rank& rank, const Offer& offer) const {
  const bool alone = rank.workers == pool.workers;
  std::uint64_t limit = std::max(window(pool, rank, offer), 2 * rank.workers);
  if (alone) limit = std::max(limit, most_urgent_tasks / offer.chunk);
  const std::uint64_t used = rank.by_priority.at(offer.priority()) + rank.planned;
  if (used >= limit) return 0;
  if (alone) return limit - used;
  return std::min(limit - used, 1 + offer.supply * rank.workers / pool.workers);
}

// At most so many chunks of the offer go to the rank, as one run. Returns how many did.
std::uint64_t PoolScheduler::send(Pool& pool, int rank, const Offer& offer, std::uint64_t chunks) {
  Job& job = *offer.job;
  const std::uint64_t now = std::min(offer.chunks, chunks);
  Run run{job.id, job.next, 0, offer.chunk, 0, job.priority};
  if (offer.again) {
    Run& whole = pool.again.front().run;
    run.first = whole.first;
    run.attempt = whole.attempt;
    run.count = now == offer.chunks ? whole.count : now * offer.chunk;
    whole.first += run.count;
    whole.count -= run.count;
    if (whole.count == 0) pool.again.pop_front();
  } else {
    run.count = now == offer.chunks ? job.block_end - job.next : now * offer.chunk;
    job.next += run.count;
    job.left -= run.count;
    pool.unsent -= run.count;
    if (job.unsent() == 0) {
      pool.ready.pop_front();
    } else if (job.next == job.block_end) {
      job.next = job.blocks.front().first;
      job.block_end = job.blocks.front().last;
      job.blocks.pop_front();
    }
  }
  run.chunk = std::min(run.chunk, run.count);
  actions_.push_back(SendRun{rank, run});
  Rank& at = pool.ranks[static_cast<std::size_t>(rank)];
  pool.book(at, job.priority, [&](Ledger& ledger) { ledger.add(job.number, run); });
  at.sent += run.count;
  at.barren = false;
  job.rank = job.rank == Job::nowhere || job.rank == rank ? rank : Job::many_ranks;
  pool.sort(rank, true);
  return now;
}

// Sends the rank all it may have; false if that is nothing.
bool PoolScheduler::serve(Pool& pool, int rank) {
  if (pool.on_hold) return false;
  Rank& at = pool.ranks[static_cast<std::size_t>(rank)];
  bool any = false;
  std::uint64_t allowed = 0;
  struct {
    std::uint64_t chunk = 0;
    std::uint64_t number = 0;
    int priority = 0;
    bool small = false;
  } last;
  Offer offer;
  while ((offer = next_offer(pool)).job != nullptr) {
    // Blocks of a job, or small things, share one allowance: computed anew for each, it would never be used up.
    const bool in_series = any && offer.chunk <= last.chunk && offer.priority() == last.priority &&
                           (offer.small() ? last.small : !last.small && offer.job->number == last.number);
    if (!in_series) allowed = allowance(pool, at, offer, any);
    if (allowed == 0) break;
    last.chunk = offer.chunk;
    last.number = offer.job->number;
    last.priority = offer.priority();
    last.small = offer.small();
    allowed -= send(pool, rank, offer, allowed);
    any = true;
  }
  at.season = pool.season;
  if (offer.job != nullptr) {
    const std::uint64_t limit = window(pool, at, offer);
    at.refill_at = limit - std::min(limit, least_refill(limit, at.workers));
  }
  return any;
}

// Ranks with free workers first, the freest of them before all; then, as far as the window allows, those with room.
void PoolScheduler::serve_all(Pool& pool) {
  if (pool.on_hold) return;
  if (pool.has_unsent() && pool.is_urgent(pool.next_priority())) serve_urgent(pool);
  while (pool.has_unsent() && pool.levels.highest() >= Pool::has_room) {
    const Offer offer = next_offer(pool);
    if (offer.supply < pool.free) {
      spread(pool, offer);
    } else if (!serve(pool, static_cast<int>(pool.levels.front(pool.levels.highest())))) {
      return;
    }
  }
}

// What goes ahead of tasks that are under way: to ranks with free workers first, then where there is least of this
// priority.
void PoolScheduler::serve_urgent(Pool& pool) {
  for (Offer offer = next_offer(pool); offer.job != nullptr && pool.is_urgent(offer.priority());
       offer = next_offer(pool)) {
    const auto load = [&](const Rank& rank) {
      const auto workers = static_cast<double>(rank.workers);
      return std::tuple(rank.free == 0, rank.stuck,
                        static_cast<double>(rank.by_priority.at(offer.priority())) / workers,
                        static_cast<double>(rank.chunks()) / workers);
    };
    const Rank* best = nullptr;
    for (const Rank& rank : pool.ranks) {
      if (rank.workers > 0 && (best == nullptr || load(rank) < load(*best))) best = &rank;
    }
    const std::uint64_t allowed = best != nullptr ? urgent_allowance(pool, *best, offer) : 0;
    if (allowed == 0) return;
    send(pool, static_cast<int>(best - pool.ranks.data()), offer, allowed);
  }
}

// Fewer chunks than free workers: one by one to the freest rank, then one run for each rank that got some.
void PoolScheduler::spread(Pool& pool, const Offer& offer) {
  if (offer.chunks == 1) {
    send(pool, static_cast<int>(pool.levels.front(pool.levels.highest())), offer, 1);
    return;
  }
  touched_.clear();
  for (std::uint64_t chunk = 0; chunk < offer.chunks; ++chunk) {
    const LevelLists::Member rank = pool.levels.front(pool.levels.highest());
    if (pool.ranks[rank].planned++ == 0) touched_.push_back(rank);
    pool.sort(static_cast<int>(rank), true);
  }
  Offer rest = offer;
  for (const std::uint32_t rank : touched_) {
    rest.chunks -= send(pool, static_cast<int>(rank), rest, std::exchange(pool.ranks[rank].planned, 0));
  }
}

}  // namespace rankpool::scheduler
