// The home side of a Condition.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "objects/object.hpp"
#include "wire/condition.hpp"

namespace rankpool::objects {

/// The line of those who wait. It knows nothing of the lock: that only its owner speaks to it is seen to by the
/// callers.
class Condition final : public Object {
 public:
  void request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body, link::Slice slice,
               Home& home) override;
  void withdraw(const Caller& caller, Home& home) override;
  void left(wire::Address process, Home& home) override;

 private:
  struct Waiter {
    std::uint64_t ticket;
    Caller caller;
    bool asks;  // `caller` waits for an answer; else it is on its way to ask
  };

  void await(const Caller& caller, std::uint64_t ticket, Home& home);
  void leave(std::uint64_t ticket, Home& home);
  void notify(std::uint64_t count, Home& home);

  std::uint64_t last_ticket_ = 0;
  std::deque<Waiter> line_;
  std::vector<Waiter> notified_;  // before they have asked
};

}  // namespace rankpool::objects
