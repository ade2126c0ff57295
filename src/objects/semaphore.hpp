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
///
/// Where engines act on the window by one-sided operations the value is there: who lowers it below 0 waits here, and
/// who raises it from below 0 grants here as many as it has covered. A grant may come before the one whom it is for
/// (credit), or after that one has given up (debt): whoever gives up raises the word again, and learns by what it was
/// whether a grant is on its way.
class Semaphore final : public Object {
 public:
  /// `body`: a wire::SemaphoreMake. @throws wire::BadFrame
  Semaphore(std::uint64_t number, std::span<const std::byte> body);

  void request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body, link::Slice slice,
               Home& home) override;
  void withdraw(const Caller& caller, Home& home) override;
  void left(wire::Address process, Home& home) override;
  void word_swapped(std::uint64_t before, Home& home) override;
  void released(Home& home) override;

 private:
  void where(const Caller& caller, Home& home);
  void release(const Caller& caller, std::uint32_t count, Home& home);
  void serve(Home& home);
  void give_next(Home& home);
  bool uses_word(const Home& home) const { return home.one_sided() && place_; }
  void grant(std::uint32_t count, Home& home);
  /// Why the word is raised.
  enum class Raise { gave_up, gave_back };
  void raise(Raise why, std::size_t count, Home& home);

  std::uint64_t number_;
  wire::SemaphoreMake made_;
  std::uint32_t value_;
  std::optional<std::uint64_t> place_;
  std::deque<Caller> waiting_;  // empty unless the value is 0
  std::uint32_t credit_ = 0;
  std::uint32_t debt_ = 0;
  std::deque<Raise> raising_;  // in the order in which the answers come
  std::vector<Caller> given_;  // who waited and has not said yet that it knows: if it dies, the next one gets it
};

}  // namespace rankpool::objects
