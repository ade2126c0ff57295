// The pools of the whole job, at rank 0: the shell around the scheduler.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/item_store.hpp"
#include "engine/pool_stats.hpp"
#include "engine/router.hpp"
#include "link/payload.hpp"
#include "scheduler/pool_scheduler.hpp"
#include "scheduler/task_set.hpp"
#include "wire/messages.hpp"

namespace rankpool::engine {

/// Turns frames of clients and ranks into events of the scheduler, and its actions into frames. Keeps the data of jobs.
class PoolMaster {
 public:
  explicit PoolMaster(Router& router) : router_(router) {}

  /// A frame from a client or from the engine of a rank. `body` holds during the call.
  void on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice);

  /// A rank is lost, and the layout says so: its tasks are run again on the others.
  void rank_lost(int rank);

  /// Are there tasks that wait at one rank while another has nothing to do? Then `look` must be called now and then.
  bool keeps_time() const noexcept { return scheduler_.uneven(); }
  /// Moves such tasks; returns when it must be called again, as far as is known.
  std::chrono::steady_clock::time_point look();

  /// Tasks, and those of them that have ended.
  struct Tally {
    std::uint64_t submitted = 0;
    std::uint64_t ended = 0;
  };
  /// Of the jobs that are open now.
  Tally open_tasks() const;
  /// Of all jobs that there were.
  const Tally& all_tasks() const noexcept { return tally_; }

  /// From now on nothing of what that client submits is begun, and what was sent ahead is taken back.
  void drain(wire::Address client, int signal);
  /// Has all ended that was begun for the client that is being drained?
  bool drained() const;
  /// Ends the jobs of that client that have tasks left, for that signal; returns how many these tasks are.
  std::uint64_t give_up();

 private:
  /// A client's own number for a pool or job, made unique by its address.
  struct ClientKey {
    wire::Address owner;
    std::uint64_t token;
    friend bool operator==(const ClientKey&, const ClientKey&) = default;
  };
  struct ClientKeyHash {
    std::size_t operator()(const ClientKey& key) const noexcept;
  };
  struct Pool {
    ClientKey client;
    std::vector<int> workers;  // by rank; 0 once they have gone
    int ranks_left = 0;        // ranks with workers that have not gone
    bool closed = false;       // by its client
    bool over = false;         // ended, terminated or failed: no jobs any more
    int reducing = 0;          // jobs of which the scheduler knows no more
    bool ending = false;       // when these have ended
    std::set<scheduler::JobId> jobs;
    PoolStats stats;
  };
  struct Job {
    ClientKey client;
    scheduler::PoolId pool = 0;
    scheduler::JobOptions options{};
    wire::RankJob fixed{};
    link::Payload callable;
    ItemStore items;
    std::uint64_t item_count = 0;
    std::vector<int> ranks{};        // that have its callable
    std::vector<wire::Ask> asked{};  // of the rank that has its task, and not answered
    JobStats stats{};
    std::uint32_t awaited = 0;  // wire::Awaited
    bool failed = false;
    bool reducing = false;                       // all tasks have ended, and the ranks reduce their values
    std::map<int, scheduler::TaskSet> folded{};  // by rank, if that can be lost: tasks whose values are there
  };
  struct Rank {
    std::uint64_t under_way = 0;  // tasks sent and not ended
    std::chrono::steady_clock::time_point probe_sent;
    bool probing = false;  // the task under way was sent to an idle rank: its time tells the round trip
  };

  void open_pool(const wire::Header& head, std::span<const std::byte> body, link::Slice slice);
  void open_job(const wire::Header& head, std::span<const std::byte> body, link::Slice slice);
  void from_client(const wire::Header& head, std::span<const std::byte> body, link::Slice slice);
  void from_rank(const wire::Header& head, std::span<const std::byte> body, link::Slice slice);
  void run_done(const wire::Header& head, std::span<const std::byte> body, link::Slice slice);
  void ask(scheduler::JobId id, wire::Ask what);
  void answered(const wire::Header& head);
  void runs_returned(const wire::Header& head, const link::PayloadView& runs);
  void ask_again(scheduler::JobId id);
  std::string name_of(int rank) const;
  void no_workers(const ClientKey& client);
  void pool_failed(const ClientKey& client, const std::string& why, int lost_rank);
  void workers_gone(scheduler::PoolId id, int rank);
  void run_folded_again(scheduler::JobId id, Job& job, int lost_rank);
  void compute_again(scheduler::JobId id);
  /// Its values can be lost with a rank after its tasks have ended.
  bool keeps_items(const Job& job) const {
    return job.fixed.fold != detail::Fold::none && router_.layout().recovery && router_.layout().ranks() > 1;
  }
  void task_lost(int from, scheduler::JobId id, const wire::TaskLost& lost);
  void end_pool(scheduler::PoolId id, int signal);
  void forget_job(scheduler::JobId id);
  void cancel(scheduler::JobId id);
  void end_job(scheduler::JobId id);
  void remove_job(scheduler::JobId id);
  void reduce(scheduler::JobId id, Job& job);
  void from_reduction(const wire::Header& head, std::span<const std::byte> body, link::Slice slice);
  void client_gone(wire::Address client);
  void act();
  void send_run(const scheduler::SendRun& send);
  void measure(int rank, std::uint64_t count, std::uint64_t work);
  PoolStats& stats_of(const Job& job) { return pools_.at(job.pool).stats; }
  void send_insights(const wire::Header& head, const Pool& pool);
  bool is_drained(const Pool& pool) const { return drained_client_ == pool.client.owner; }
  Rank& rank(int number) { return ranks_[static_cast<std::size_t>(number)]; }
  wire::Header to_client(const ClientKey& client, wire::Kind kind) const {
    return {.to = client.owner, .token = client.token, .kind = kind};
  }
  static wire::Header to_rank(int rank, wire::Kind kind, std::uint64_t token) {
    return {.to = {rank, 0}, .token = token, .kind = kind};
  }

  Router& router_;
  scheduler::PoolScheduler scheduler_;
  std::map<scheduler::PoolId, Pool> pools_;
  std::unordered_map<scheduler::JobId, Job> jobs_;
  std::unordered_map<ClientKey, scheduler::PoolId, ClientKeyHash> pool_ids_;
  std::unordered_map<ClientKey, scheduler::JobId, ClientKeyHash> job_ids_;
  std::vector<Rank> ranks_;
  Tally tally_;
  std::optional<wire::Address> drained_client_;
  int drained_by_ = 0;  // the signal
  std::chrono::nanoseconds round_trip_{0};
  std::chrono::steady_clock::time_point next_rebalance_{};
  std::uint64_t next_id_ = 1;
  std::uint64_t next_worker_ = 1;
};

}  // namespace rankpool::engine
