// The pool workers of one rank: starts them, feeds them, reports what they did.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/children.hpp"
#include "engine/item_store.hpp"
#include "engine/reduction.hpp"
#include "engine/router.hpp"
#include "engine/worker_ender.hpp"
#include "link/payload.hpp"
#include "scheduler/rank_dealer.hpp"
#include "wire/messages.hpp"

namespace rankpool::engine {

/// The shell around the dealer of this rank: turns frames into its events and its actions into frames.
class WorkerHost final : public ChildOwner, private ReductionOwner {
 public:
  WorkerHost(Children& children, link::RankPageData& page, Router& router)
      : children_(children), page_(page), router_(router), ender_(children), reductions_(router, *this) {}

  /// A frame from the scheduler. `body` holds during the call.
  void on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice);

  /// Is there a worker that may have to be ended at some time, or tasks behind one that may take long? Then `look` must
  /// be called now and then.
  bool keeps_time() const noexcept { return ender_.active() || dealer_.uneven(); }
  /// Ends who is too late, and moves tasks from who has too many to who has none; returns when it must be called again,
  /// as far as is known.
  WorkerEnder::Clock::time_point look();

  /// The job ends soon: asks what runs to stop, and begins nothing more.
  void stop();
  /// Tasks that have begun and not ended, as far as their results have come here.
  std::uint32_t running();

  void on_child_frame(std::uint32_t link, link::Incoming& in) override;
  void on_child_batch(std::uint32_t link) override;
  void on_child_ended(std::uint32_t link, pid_t pid, int wait_status, std::uint64_t begun) override;
  void on_fork_failed(std::uint32_t link, int error) override;

 private:
  /// Results of consecutive tasks that travel on together.
  struct Merge {
    std::uint64_t job = 0;
    wire::RunDone run{};
    std::vector<std::byte> results;
  };
  struct Worker {
    scheduler::PoolId pool = 0;
    bool ready = false;
    std::chrono::steady_clock::time_point ready_since{};
    bool leaving = false;
    std::unordered_set<scheduler::JobId> jobs;  // whose callable it has
    Merge merge;
  };
  struct Pool {
    wire::WorkersStart options{};
    link::Payload initializer;
    std::uint64_t next_number = 0;
    std::unordered_set<std::uint32_t> workers;
    bool stopping = false;  // no worker is started any more
    bool stopped = false;   // the scheduler has said so: it sends no more tasks
    int idle_deaths = 0;    // workers that died soon and with no task in them, in a row
  };
  struct Job {
    wire::RankJob fixed{};
    link::Payload callable;
    ItemStore items;
  };

  void start_workers(scheduler::PoolId id, std::span<const std::byte> body, link::Slice slice);
  void stop_workers(scheduler::PoolId id, int signal);
  void start_worker(scheduler::PoolId id, Pool& pool);
  void fail_pool(scheduler::PoolId id, std::span<const std::byte> error, const link::PayloadView& record);
  void fail_pool(scheduler::PoolId id, const std::exception_ptr& error);
  void report_if_gone(scheduler::PoolId id);
  void forget_job(scheduler::JobId id);
  void close_job(const Job& job);
  void ask(scheduler::JobId id, wire::Ask what);
  void give_back(scheduler::PoolId id, std::uint64_t count);
  std::uint64_t begun(std::uint32_t link);
  std::uint64_t recall(std::uint32_t link, std::optional<scheduler::JobId> dropped = {});
  void ask_to_stop(std::uint32_t link, std::uint64_t number);
  void result(std::uint32_t link, Worker& worker, link::Incoming& in);
  void flush_merge(std::uint32_t link, Worker& worker);
  void child_error(std::uint32_t link, link::Incoming& in);
  bool account(std::uint32_t link, scheduler::JobId job, const wire::RunDone& run);
  void teach(std::uint32_t link, scheduler::JobId job) override;
  void run_again(scheduler::JobId job, scheduler::TaskIndex first, std::uint64_t count) override;
  void release(scheduler::JobId job, scheduler::TaskIndex first, std::uint64_t count) override;
  std::optional<std::uint32_t> spare(scheduler::JobId job) override;
  void act(const wire::TaskLost& loss = {});
  void give(const scheduler::Give& give);
  wire::Header to_scheduler(wire::Kind kind, std::uint64_t token) const {
    return {.to = {0, 0}, .token = token, .kind = kind};
  }
  wire::Header to_child(std::uint32_t link, wire::Kind kind, std::uint64_t token) const {
    return {.to = {router_.layout().rank, link}, .token = token, .kind = kind};
  }

  Children& children_;
  link::RankPageData& page_;
  Router& router_;
  scheduler::RankDealer dealer_;
  WorkerEnder ender_;
  Reductions reductions_;
  bool stopped_ = false;
  WorkerEnder::Clock::time_point next_rebalance_{};
  std::unordered_map<scheduler::PoolId, Pool> pools_;
  std::unordered_map<scheduler::JobId, Job> jobs_;
  std::unordered_map<std::uint32_t, Worker> workers_;
};

}  // namespace rankpool::engine
