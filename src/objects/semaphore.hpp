// The home side of Semaphore and BoundedSemaphore.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "objects/object.hpp"
#include "wire/semaphore.hpp"

namespace rankpool::objects {

/// Where user processes map the windows it only keeps the place of the semaphore; else it is the semaphore: whoever
/// waits longest is the next.
class Semaphore final : public Object {
 public:
  /// `body`: a wire::SemaphoreMake. @throws wire::BadFrame
  explicit Semaphore(std::span<const std::byte> body);

  void request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body, link::Slice slice,
               Home& home) override;
  void withdraw(const Caller& caller, Home& home) override;
  void left(wire::Address process, Home& home) override;
  void released(Home& home) override;

 private:
  void where(const Caller& caller, Home& home);
  void release(const Caller& caller, std::uint32_t count, Home& home);
  void serve(Home& home);

  wire::SemaphoreMake made_;
  std::uint32_t value_;
  std::optional<std::uint64_t> place_;
  std::deque<Caller> waiting_;  // empty unless the value is 0
  std::vector<Caller> given_;   // who waited and has not said yet that it knows: if it dies, the next one gets it
};

}  // namespace rankpool::objects
