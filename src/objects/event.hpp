// The home side of an Event.
#pragma once

#include <vector>

#include "objects/object.hpp"

namespace rankpool::objects {

/// A flag for which many can wait.
class Event final : public Object {
 public:
  void request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body, link::Slice slice,
               Home& home) override;
  void withdraw(const Caller& caller, Home& home) override;
  void left(wire::Address process, Home& home) override;

 private:
  void set(Home& home);

  bool set_ = false;
  std::vector<Caller> waiting_;
};

}  // namespace rankpool::objects
