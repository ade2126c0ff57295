// The home side of a Queue.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "link/lease.hpp"
#include "link/payload.hpp"
#include "objects/item_line.hpp"
#include "objects/object.hpp"
#include "wire/queue.hpp"

namespace rankpool::objects {

/// Items in the order in which they were put; who waits to get or to put is served in order.
///
/// A process that gets again and again while nobody else does is lent the next items with its answer (a lease). They
/// stay at the front here until it is known that it has taken them. Whatever depends on what is in the queue calls the
/// lease back first, and waits, in order, until it is known how many were taken: so no consumer is seen to overtake
/// another, and what a process had not taken when it died is still here.
class Queue final : public Object {
 public:
  /// `maxsize`: 0: no limit.
  Queue(std::uint64_t number, std::uint64_t maxsize) : number_(number), maxsize_(maxsize) {}

  void request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body, link::Slice slice,
               Home& home) override;
  void withdraw(const Caller& caller, Home& home) override;
  void left(wire::Address process, Home& home) override;
  void died(wire::Address process, const link::LeaseStates& leases, Home& home) override;
  void lease_returned(wire::Address process, std::uint32_t slot, link::LeaseState state, Home& home) override;
  void released(Home& home) override;

 private:
  using Cargo = ItemLine::Cargo;
  struct Getter {
    Caller caller;
    wire::QueueGet wish;
  };
  struct Putter {
    Caller caller;
    link::Payload item;
    Cargo cargo;
  };
  /// A request that waits for a lease to come back.
  struct Held {
    Caller caller;
    wire::QueueOp operation;
    std::vector<std::byte> body;
    link::Slice slice;
  };
  struct Lease {
    wire::Address holder;
    std::uint32_t slot = 0;
    std::uint64_t generation = 0;
    std::size_t count = 0;  // of the items at the front
    bool recalled = false;
  };

  bool needs_lease_back(wire::QueueOp operation) const noexcept;
  void recall(Home& home);
  void end_lease(std::size_t taken, Home& home);
  void run(const Caller& caller, wire::QueueOp operation, std::span<const std::byte> body, link::Slice slice,
           Home& home);
  void put(const Caller& caller, std::span<const std::byte> body, link::Slice slice, Home& home);
  void add(const link::PayloadView& item, Cargo cargo, Home& home);
  void get(const Caller& caller, const wire::QueueGet& wish, Home& home);
  void give(const Caller& caller, const wire::QueueGet& wish, Home& home);
  void let_putters_in(Home& home);
  void shut_down(bool now, Home& home);
  void task_done(const Caller& caller, Home& home);
  void finished(std::size_t count, Home& home);
  template <class Gone>
  bool forget(const Gone& gone, Home& home);
  bool has_room() const noexcept { return maxsize_ == 0 || items_.size() < maxsize_; }

  std::uint64_t number_;
  std::uint64_t maxsize_;
  ItemLine items_;               // the leased ones first
  std::deque<Getter> getters_;   // only while there are no items
  std::deque<Putter> putters_;   // only while there is no room
  std::vector<Caller> joiners_;  // only while something is unfinished
  std::vector<Caller> watchers_;
  std::uint64_t unfinished_ = 0;
  bool shut_ = false;
  bool dropping_ = false;  // shut down, and what was in it dropped

  std::optional<Lease> lease_;  // not while somebody waits to get or to put
  std::deque<Held> held_;       // only while there is a lease, which was called back
  wire::Address last_getter_{};
  std::uint64_t streak_ = 0;        // gets in a row by that process
  std::uint64_t quiet_needed_ = 0;  // so many before it is lent something
  std::size_t batch_ = 1;           // items in its next answer
  std::vector<std::byte> scratch_;
};

}  // namespace rankpool::objects
