// The jobs of one rank whose values are reduced to one.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>

#include "engine/router.hpp"
#include "link/payload.hpp"
#include "scheduler/rank_reduction.hpp"
#include "wire/messages.hpp"

namespace rankpool::engine {

/// The room in which they are run.
class ReductionOwner {
 public:
  /// The worker will be asked something about the job.
  virtual void teach(std::uint32_t link, scheduler::JobId job) = 0;
  /// Deals these tasks once more.
  virtual void run_again(scheduler::JobId job, scheduler::TaskIndex first, std::uint64_t count) = 0;
  /// Their items are not needed any more.
  virtual void release(scheduler::JobId job, scheduler::TaskIndex first, std::uint64_t count) = 0;
  /// A worker that may be given something of the job.
  virtual std::optional<std::uint32_t> spare(scheduler::JobId job) = 0;

 protected:
  ~ReductionOwner() = default;
};

/// The shell around the state machine of each such job: keeps the partials, turns its actions into frames.
class Reductions {
 public:
  Reductions(Router& router, ReductionOwner& owner) : router_(router), owner_(owner) {}

  void open(scheduler::JobId job, const wire::RankJob& fixed);
  void forget(scheduler::JobId job) { jobs_.erase(job); }
  bool has(scheduler::JobId job) const { return jobs_.contains(job); }

  /// The worker reports tasks that have ended; the scheduler is told of those of which it does not know.
  void folded(std::uint32_t link, scheduler::JobId job, const wire::RunDone& run);
  /// A task of any job has thrown, or none (wire::no_task): as what the scheduler is told.
  wire::Kind failed(scheduler::JobId job, scheduler::TaskIndex task);
  /// A task of any job was begun by a worker that died. False if the scheduler must decide about it.
  bool lost(scheduler::JobId job, wire::TaskLost loss);

  void worker_ready();
  void worker_leaves(std::uint32_t link);
  /// `held_task`: a task had been begun in it.
  void worker_died(std::uint32_t link, bool held_task, wire::TaskLost loss);

  /// child_partial
  void flushed(std::uint32_t link, scheduler::JobId job, std::span<const std::byte> body, link::Slice slice);
  /// rank_reduce
  void start(scheduler::JobId job, std::span<const std::byte> body);
  /// rank_partial
  void from_rank(scheduler::JobId job, const link::PayloadView& partial);

 private:
  struct Job {
    scheduler::RankReduction state;
    std::map<scheduler::RankReduction::PartialId, link::Payload> partials;
    std::uint64_t next_partial = 0;
    int parent = -1;

    std::optional<std::uint64_t> keep(const link::PayloadView& partial);
  };

  void act(scheduler::JobId id, Job& job, const wire::TaskLost& loss = {});
  void finish(scheduler::JobId id, Job& job, std::optional<std::uint64_t> partial);
  void send(int rank, wire::Kind kind, scheduler::JobId job, std::span<const std::byte> fixed,
            const link::PayloadView& payload = {}) {
    router_.send({.to = {rank, 0}, .token = job, .kind = kind}, fixed, payload);
  }
  void send_to_child(std::uint32_t link, wire::Kind kind, scheduler::JobId job, std::span<const std::byte> fixed,
                     const link::PayloadView& payload = {});

  Router& router_;
  ReductionOwner& owner_;
  std::unordered_map<scheduler::JobId, Job> jobs_;
};

}  // namespace rankpool::engine
