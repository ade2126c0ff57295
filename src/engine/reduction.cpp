#include "engine/reduction.hpp"

#include <utility>
#include <variant>

#include "wire/reduce.hpp"

namespace rankpool::engine {

using scheduler::JobId;
using scheduler::RankReduction;
using scheduler::TaskIndex;
using wire::Kind;

std::optional<std::uint64_t> Reductions::Job::keep(const link::PayloadView& partial) {
  if (partial.size() == 0) return std::nullopt;
  partials.emplace(next_partial, link::Payload(partial));
  return next_partial++;
}

void Reductions::open(JobId id, const wire::RankJob& fixed) {
  const RankReduction::Options options{.runs = static_cast<int>(fixed.fold_runs),
                                       .may_grow = fixed.fold == detail::Fold::any_size};
  jobs_.try_emplace(id, Job{RankReduction(options, [this, id] { return owner_.spare(id); }), {}, 0, -1});
}

// --- tasks

void Reductions::folded(std::uint32_t link, JobId id, const wire::RunDone& run) {
  Job& job = jobs_.at(id);
  const std::uint64_t work = run.work / run.count;
  std::uint64_t rest = run.work % run.count;
  for (std::uint64_t done = 0; done < run.count;) {
    const TaskIndex first = run.first + done;
    const auto part = job.state.owed(first, run.count - done);
    const wire::RunDone ended{first, part.count, work * part.count + std::exchange(rest, 0)};
    if (!part.inside) send(0, Kind::run_done, id, wire::bytes_of(ended));
    job.state.folded(link, first, part.count, scheduler::Nanoseconds(ended.work));
    done += part.count;
  }
  act(id, job);
}

Kind Reductions::failed(JobId id, TaskIndex task) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return Kind::task_error;
  if (task == wire::no_task) return Kind::reduce_error;
  Job& job = found->second;
  if (!job.state.owed(task, 1).inside) {
    owner_.release(id, task, 1);
    return Kind::task_error;
  }
  job.state.failed(task);
  act(id, job);
  return Kind::reduce_error;
}

bool Reductions::lost(JobId id, wire::TaskLost loss) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end() || !found->second.state.owed(loss.task, 1).inside) return false;
  Job& job = found->second;
  if (const std::optional<int> losses = job.state.lost(loss.task)) {
    loss.attempts = *losses;
    send(0, Kind::reduce_lost, id, wire::bytes_of(loss));
  }
  act(id, job);
  return true;
}

// --- workers

void Reductions::worker_ready() {
  for (auto& [id, job] : jobs_) {
    job.state.worker_ready();
    act(id, job);
  }
}

void Reductions::worker_leaves(std::uint32_t link) {
  for (auto& [id, job] : jobs_) {
    job.state.worker_leaves(link);
    act(id, job);
  }
}

void Reductions::worker_died(std::uint32_t link, bool held_task, wire::TaskLost loss) {
  loss.task = wire::no_task;
  for (auto& [id, job] : jobs_) {
    job.state.worker_died(link, !held_task);
    act(id, job, loss);
  }
}

void Reductions::flushed(std::uint32_t link, JobId id, std::span<const std::byte> body, link::Slice slice) {
  const auto fixed = wire::take<wire::ChildPartial>(body);
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  Job& job = found->second;
  job.state.flushed(link, job.keep({body, std::move(slice)}), scheduler::Nanoseconds(fixed.work));
  act(id, job);
}

// --- the end

void Reductions::start(JobId id, std::span<const std::byte> body) {
  const auto plan = wire::take<wire::RankReduce>(body);
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  Job& job = found->second;
  job.parent = plan.parent;
  job.state.start(plan.children);
  act(id, job);
}

void Reductions::from_rank(JobId id, const link::PayloadView& partial) {
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  Job& job = found->second;
  job.state.from_rank(job.keep(partial));
  act(id, job);
}

void Reductions::finish(JobId id, Job& job, std::optional<std::uint64_t> partial) {
  const link::PayloadView value = partial ? job.partials.at(*partial).view() : link::PayloadView{};
  if (job.parent < 0) {
    send(0, Kind::reduce_done, id, {}, value);
  } else {
    send(job.parent, Kind::rank_partial, id, {}, value);
  }
  job.partials.clear();
}

void Reductions::act(JobId id, Job& job, const wire::TaskLost& loss) {
  auto& actions = job.state.actions();
  for (std::size_t i = 0; i < actions.size(); ++i) {
    const RankReduction::Action action = actions[i];
    if (const auto* run = std::get_if<RankReduction::Rerun>(&action)) {
      owner_.run_again(id, run->first, run->count);
    } else if (const auto* ended = std::get_if<RankReduction::Release>(&action)) {
      owner_.release(id, ended->first, ended->count);
    } else if (const auto* flush = std::get_if<RankReduction::Flush>(&action)) {
      const wire::ChildFlush how{flush->keep ? 1u : 0u};
      send_to_child(flush->worker, Kind::child_flush, id, wire::bytes_of(how));
    } else if (const auto* merge = std::get_if<RankReduction::Merge>(&action)) {
      send_to_child(merge->worker, Kind::child_merge, id, {}, job.partials.at(merge->partial).view());
    } else if (const auto* discard = std::get_if<RankReduction::Discard>(&action)) {
      job.partials.erase(discard->partial);
    } else if (const auto* end = std::get_if<RankReduction::Finish>(&action)) {
      finish(id, job, end->partial);
    } else {
      wire::TaskLost lost = loss;
      lost.attempts = std::get<RankReduction::GiveUp>(action).deaths;
      send(0, Kind::reduce_lost, id, wire::bytes_of(lost));
    }
  }
  actions.clear();
}

void Reductions::send_to_child(std::uint32_t link, Kind kind, JobId job, std::span<const std::byte> fixed,
                               const link::PayloadView& payload) {
  owner_.teach(link, job);
  router_.send({.to = {router_.layout().rank, link}, .token = job, .kind = kind}, fixed, payload);
}

}  // namespace rankpool::engine
