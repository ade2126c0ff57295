// The home side of a Barrier.
#pragma once

#include <cstdint>
#include <vector>

#include "objects/object.hpp"

namespace rankpool::objects {

/// Where a number of callers meet. Those who meet are answered together, so the next ones may come at once.
class Barrier final : public Object {
 public:
  explicit Barrier(std::int32_t parties) : parties_(parties) {}

  void request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body, link::Slice slice,
               Home& home) override;
  /// Whoever gives up breaks it: the others could wait for ever.
  void withdraw(const Caller& caller, Home& home) override;
  void left(wire::Address process, Home& home) override;

 private:
  void wait(const Caller& caller, Home& home);
  void dismiss(Home& home);

  const std::int32_t parties_;
  bool broken_ = false;
  std::vector<Caller> waiting_;  // fewer than parties_, in the order of their coming
};

}  // namespace rankpool::objects
