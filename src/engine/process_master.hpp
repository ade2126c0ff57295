// The Processes of the whole job, at rank 0.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>

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
  /// A user process has ended.
  void client_gone(wire::Address client);

 private:
  struct Entry {
    wire::Address parent;
    int rank;
    bool daemon;
  };
  void start(const wire::Header& head, std::span<const std::byte> body, link::Slice slice);

  Router& router_;
  scheduler::ProcessPlacement placement_;
  std::unordered_map<std::uint64_t, Entry> processes_;  // those that live, by number
  std::uint64_t next_number_ = 1;
};

}  // namespace rankpool::engine
