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
///
/// Where engines act on the window by one-sided operations they take and free the lock there, without its knowledge, as
/// long as nobody has to wait. When something comes that the word cannot tell, this marks the word as its own, with the
/// owner that it finds, and gives it back once nobody holds the lock or waits for it.
class Lock final : public Object {
 public:
  /// `number`: of the object that it is, or is a part of. `cells`: side by side, for what needs more than one lock.
  explicit Lock(std::uint64_t number, std::uint32_t cells = 1) noexcept : number_(number), cells_(cells) {}

  void request(const Caller& caller, std::uint32_t operation, std::span<const std::byte> body, link::Slice slice,
               Home& home) override;
  void withdraw(const Caller& caller, Home& home) override;
  void left(wire::Address process, Home& home) override;
  void died(wire::Address process, const link::LeaseStates& leases, Home& home) override;
  void word_swapped(std::uint64_t before, Home& home) override;
  void released(Home& home) override;

  /// The place of the cells, which are taken by the first call; none if there is no room.
  std::optional<std::uint64_t> cell(Home& home);

 private:
  enum class Word { free_for_all, looking, taking, own, giving };
  struct Event {
    enum class What { request, withdraw, died } what;
    Caller caller;  // of died: the process alone
    wire::LockOp operation{};
  };

  bool uses_word(const Home& home) const;
  void on_event(const Event& event, Home& home);
  void advance(Home& home);
  void swap(Word doing, std::uint64_t expected, std::uint64_t desired, Home& home);
  void act(const Event& event, Home& home);
  void on_request(const Caller& caller, wire::LockOp operation, Home& home);
  void on_withdraw(const Caller& caller, Home& home);
  void lost(wire::Address process, Home& home);
  void grant(const Caller& caller, Home& home);
  void pass_on(Home& home);
  void unlock(const Caller& caller, Home& home);

  std::uint64_t number_;
  std::uint32_t cells_;
  std::optional<std::uint64_t> place_;
  std::optional<wire::LockHolder> owner_;
  bool orphaned_ = false;
  std::deque<Caller> waiting_;  // empty if nobody owns it

  Word word_ = Word::free_for_all;
  std::uint64_t expected_ = 0;  // of the swap under way
  std::deque<Event> events_;    // until the word is this one's own
};

}  // namespace rankpool::objects
