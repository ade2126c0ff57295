// The home side of Lock and RLock.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "objects/object.hpp"
#include "wire/lock.hpp"

namespace rankpool::objects {

/// Where user processes map the windows it only keeps the place of the lock; else it is the lock: whoever waits longest
/// is the next. How often a recursive one was locked by its owner is the owner's own business.
class Lock final : public Object {
 public:
  /// `cells`: side by side, for what needs more than one lock.
  explicit Lock(std::uint32_t cells = 1) noexcept : cells_(cells) {}

  void request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body, link::Slice slice,
               Home& home) override;
  void withdraw(const Caller& caller, Home& home) override;
  void left(wire::Address process, Home& home) override;
  void released(Home& home) override;

  /// The place of the cells, which are taken by the first call; none if there is no room.
  std::optional<std::uint64_t> cell(Home& home);

 private:
  void grant(const Caller& caller, Home& home);
  void pass_on(Home& home);
  void unlock(const Caller& caller, Home& home);

  std::uint32_t cells_;
  std::optional<std::uint64_t> place_;
  std::optional<wire::LockHolder> owner_;
  bool orphaned_ = false;
  std::deque<Caller> waiting_;  // empty if nobody owns it
};

}  // namespace rankpool::objects
