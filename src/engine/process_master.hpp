// The Processes of the whole job, at rank 0.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/router.hpp"
#include "link/payload.hpp"
#include "scheduler/process_placement.hpp"
#include "wire/process.hpp"

namespace rankpool::engine {

/// Chooses the rank of every Process. All of them are started through it, so it is also who can end the daemons of a
/// parent that has died without a word.
class ProcessMaster {
 public:
  explicit ProcessMaster(Router& router) : router_(router), placement_(router.layout().slots) {}

  /// A frame from a user process or from the engine of a rank. `body` holds during the call.
  void on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice);
  /// From now on that client can start no Process.
  void drain(wire::Address client, int signal);
  /// Tells it of those it wanted to start; returns how many these are.
  std::uint64_t give_up();
  /// A user process has ended.
  void client_gone(wire::Address client);
  /// A rank is lost: its Processes have ended, and the daemons of those.
  void rank_lost(int rank);

 private:
  struct Entry {
    wire::Address parent;
    std::uint64_t token;  // the parent's
    int rank;
    bool daemon;
  };
  void tell_lost(wire::Address parent, std::uint64_t token, int rank);
  void start(const wire::Header& head, std::span<const std::byte> body, link::Slice slice);

  Router& router_;
  scheduler::ProcessPlacement placement_;
  std::unordered_map<std::uint64_t, Entry> processes_;  // those that live, by number
  std::deque<Entry> ended_;                             // the last that have ended
  std::uint64_t next_number_ = 1;
  std::optional<wire::Address> drained_client_;
  int drained_by_ = 0;                      // the signal
  std::vector<std::uint64_t> not_started_;  // the client's tokens
};

}  // namespace rankpool::engine
