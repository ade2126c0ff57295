// The pools of the whole job, at rank 0: the shell around the scheduler.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>
#include <vector>

#include "engine/item_store.hpp"
#include "engine/router.hpp"
#include "link/payload.hpp"
#include "scheduler/pool_scheduler.hpp"
#include "wire/messages.hpp"

namespace rankpool::engine {

/// Turns frames of clients and ranks into events of the scheduler, and its actions into frames. Keeps the data of jobs.
class PoolMaster {
 public:
  explicit PoolMaster(Router& router) : router_(router) {}

  /// A frame from a client or from the engine of a rank. `body` holds during the call.
  void on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice);

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
    std::vector<int> workers;  // by rank
    int ranks_left = 0;        // ranks with workers that have not gone
    bool over = false;         // ended, terminated or failed: no jobs any more
    std::set<scheduler::JobId> jobs;
  };
  struct Job {
    ClientKey client;
    scheduler::PoolId pool = 0;
    wire::RankJob fixed{};
    link::Payload callable;
    ItemStore items;
    std::uint64_t item_count = 0;
    std::vector<int> ranks;  // that have its callable
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
  void end_pool(scheduler::PoolId id, bool kill);
  void forget_jobs(Pool& pool);
  void forget_job(scheduler::JobId id);
  void client_gone(wire::Address client);
  void act();
  void send_run(const scheduler::SendRun& send);
  void measure(int rank, std::uint64_t count, std::uint64_t work);
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
  std::chrono::nanoseconds round_trip_{0};
  std::uint64_t next_id_ = 1;
  std::uint64_t next_worker_ = 1;
};

}  // namespace rankpool::engine
