// The pool workers of one rank: starts them, feeds them, reports what they did.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/children.hpp"
#include "engine/item_store.hpp"
#include "engine/router.hpp"
#include "link/payload.hpp"
#include "scheduler/rank_dealer.hpp"
#include "wire/messages.hpp"

namespace rankpool::engine {

/// The shell around the dealer of this rank: turns frames into its events and its actions into frames.
class WorkerHost final : public ChildOwner {
 public:
  WorkerHost(Children& children, link::RankPageData& page, Router& router)
      : children_(children), page_(page), router_(router) {}

  /// A frame from the scheduler. `body` holds during the call.
  void on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice);

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
    bool stopping = false;
    int idle_deaths = 0;  // workers that died soon and with no task in them, in a row
  };
  struct Job {
    wire::RankJob fixed{};
    link::Payload callable;
    ItemStore items;
  };

  void start_workers(scheduler::PoolId id, std::span<const std::byte> body, link::Slice slice);
  void stop_workers(scheduler::PoolId id, bool kill);
  void start_worker(scheduler::PoolId id, Pool& pool);
  void fail_pool(scheduler::PoolId id, std::span<const std::byte> error, const link::PayloadView& record);
  void fail_pool(scheduler::PoolId id, const std::exception_ptr& error);
  void report_if_gone(scheduler::PoolId id);
  void forget_job(scheduler::JobId id);
  void result(std::uint32_t link, Worker& worker, link::Incoming& in);
  void flush_merge(std::uint32_t link, Worker& worker);
  bool account(std::uint32_t link, scheduler::JobId job, const wire::RunDone& run);
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
  std::unordered_map<scheduler::PoolId, Pool> pools_;
  std::unordered_map<scheduler::JobId, Job> jobs_;
  std::unordered_map<std::uint32_t, Worker> workers_;
};

}  // namespace rankpool::engine
