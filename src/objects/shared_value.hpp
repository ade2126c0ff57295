// The home side of a shared value.
#pragma once

#include <cstdint>
#include <vector>

#include "objects/object.hpp"

namespace rankpool::objects {

/// Says when the value comes and when it goes. The value itself is one of the replicas of its rank: processes and other
/// ranks ask for it there. The objects whose handles are in the value are held as long as it lives.
class SharedValue final : public Object {
 public:
  explicit SharedValue(std::uint64_t number) : number_(number) {}

  void request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body, link::Slice slice,
               Home& home) override;
  void withdraw(const Caller&, Home&) override {}
  void left(wire::Address, Home&) override {}
  void released(Home& home) override;

 private:
  std::uint64_t number_;
  bool is_here_ = false;
  std::vector<wire::ObjectId> held_;
};

}  // namespace rankpool::objects
