#include "scheduler/rank_reduction.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace rankpool::scheduler {

namespace {

// Copies of the values bound what a death costs, and the items that are kept for it; they take a fiftieth of the time.
constexpr auto least_work_between_copies = std::chrono::milliseconds(20);
constexpr auto work_before_the_first = std::chrono::seconds(1);
constexpr int work_between_copies = 50;
// Partials may hold a descriptor each.
constexpr std::size_t most_loose = 8;
constexpr int free_deaths = 3;

}  // namespace

// --- tasks

void RankReduction::folded(WorkerId id, TaskIndex first, std::uint64_t count, Nanoseconds work) {
  owed_.remove(first, count);
  Holder& holder = holders_[id];
  holder.tasks.add(first, count);
  holder.work += work;
  ask_for_copy(id, holder);
  advance();
}

void RankReduction::failed(TaskIndex task) {
  owed_.remove(task, 1);
  actions_.push_back(Release{task, 1});
  advance();
}

std::optional<int> RankReduction::lost(TaskIndex task) {
  const int losses = ++losses_[task];
  if (losses >= options_.runs) {
    failed(task);
    return losses;
  }
  actions_.push_back(Rerun{task, 1});
  return std::nullopt;
}

// --- workers

void RankReduction::ask(WorkerId worker, Holder& holder, bool keep) {
  (keep ? holder.copying : holder.ending) = true;
  actions_.push_back(Flush{worker, keep});
}

void RankReduction::ask_for_copy(WorkerId worker, Holder& holder) {
  if (holder.copying || holder.ending || !holder.copyable) return;
  const Nanoseconds known = holder.copy_work || !options_.may_grow
                                ? work_between_copies * holder.copy_work.value_or(Nanoseconds(0))
                                : Nanoseconds(work_before_the_first);
  const Nanoseconds least = std::max<Nanoseconds>(least_work_between_copies, known);
  if (holder.work < least && holder.merged.size() < most_loose) return;
  holder.work = Nanoseconds(0);
  ask(worker, holder, true);
}

void RankReduction::worker_leaves(WorkerId id) {
  const auto found = holders_.find(id);
  if (found != holders_.end() && !found->second.ending) ask(id, found->second, false);
}

void RankReduction::worker_died(WorkerId id, bool idle) {
  const auto found = holders_.find(id);
  if (found != holders_.end()) {
    const Holder holder = std::move(found->second);
    holders_.erase(found);
    for (const auto& [first, last] : holder.tasks.intervals()) {
      owed_.add(first, last - first);
      actions_.push_back(Rerun{first, last - first});
    }
    loose_.insert(loose_.end(), holder.merged.begin(), holder.merged.end());
    if (holder.copy) loose_.push_back(*holder.copy);
    const bool reduced = started_ || holder.copying || holder.ending || !holder.merged.empty();
    if (idle && reduced && ++deaths_ > options_.runs + free_deaths) {
      finished_ = true;
      actions_.push_back(GiveUp{deaths_});
    }
  }
  advance();
}

void RankReduction::flushed(WorkerId id, std::optional<PartialId> partial, Nanoseconds work) {
  const auto found = holders_.find(id);
  if (found == holders_.end()) {
    if (partial) actions_.push_back(Discard{*partial});
    return;
  }
  Holder& holder = found->second;
  const bool keep = std::exchange(holder.copying, false);
  if (keep && !partial) {
    holder.copyable = false;
  } else {
    // All that it has reported until now is in it, and it was given nothing since it was asked.
    for (const auto& [first, last] : holder.tasks.intervals()) actions_.push_back(Release{first, last - first});
    for (const PartialId contained : holder.merged) actions_.push_back(Discard{contained});
    if (holder.copy) actions_.push_back(Discard{*holder.copy});
    holder.tasks = {};
    holder.merged.clear();
    holder.copy = partial;
    holder.copy_work = work;
  }
  if (!keep) {
    if (partial) loose_.push_back(*partial);
    holders_.erase(found);
  }
  advance();
}

// --- the end

void RankReduction::start(std::uint64_t ranks) {
  started_ = true;
  awaited_ += ranks;
  advance();
}

void RankReduction::from_rank(std::optional<PartialId> partial) {
  --awaited_;  // it may come before `start`
  if (partial) loose_.push_back(*partial);
  advance();
}

void RankReduction::merge(WorkerId id, Holder& holder) {
  for (const PartialId partial : loose_) actions_.push_back(Merge{id, partial});
  holder.merged.insert(holder.merged.end(), loose_.begin(), loose_.end());
  loose_.clear();
}

void RankReduction::advance() {
  const bool ending = started_ && owed_.empty();
  if (finished_ || (!ending && loose_.size() < most_loose)) return;
  // One worker keeps its value, and gets those of the others.
  auto keeper = std::find_if(holders_.begin(), holders_.end(), [](const auto& entry) { return !entry.second.ending; });
  if (ending && keeper != holders_.end()) {
    for (auto other = std::next(keeper); other != holders_.end(); ++other)
      if (!other->second.ending) ask(other->first, other->second, false);
  }
  if (keeper == holders_.end() && loose_.size() > 1) {
    const std::optional<WorkerId> spare = spare_();
    if (!spare || holders_.contains(*spare)) return;  // until one is there, or has handed over what it has
    keeper = holders_.try_emplace(*spare).first;
  }
  if (keeper != holders_.end()) {
    Holder& holder = keeper->second;
    if (holder.copying) return;  // what it is given now would not be in the copy
    merge(keeper->first, holder);
    if (!ending) {
      ask_for_copy(keeper->first, holder);
    } else if (awaited_ == 0 && holders_.size() == 1) {
      ask(keeper->first, holder, false);
    }
  } else if (ending && awaited_ == 0 && holders_.empty()) {
    finished_ = true;
    actions_.push_back(Finish{loose_.empty() ? std::nullopt : std::optional(loose_.front())});
    loose_.clear();
  }
}

}  // namespace rankpool::scheduler
