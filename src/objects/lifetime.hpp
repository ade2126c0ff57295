// Who has a handle of an object.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "wire/header.hpp"

namespace rankpool::objects {

/// The processes that have a handle, and the handles that are under way in messages (pins).
///
/// What one process says arrives in its order, but what different ones say, in any: the receiver of a handle may be
/// heard before its sender. So every pin has a number of its own, and one that was taken off before it was put on keeps
/// the object as well. It cannot go too early: a process says that it holds before it takes the pin off, and puts pins
/// on before it drops, so whatever is unheard, either a holder or an unmatched pin is known here.
class Lifetime {
 public:
  void hold(wire::Address process, std::uint64_t note_token) { holders_.push_back({process, note_token}); }
  /// One hold less. True if the process has none left now.
  bool drop(wire::Address process);
  /// A handle is under way (+1), or has arrived or was dropped on its way (-1).
  void pin(std::uint64_t number, std::int32_t change);

  bool over() const noexcept { return holders_.empty() && pins_.empty(); }
  bool holds(wire::Address process) const noexcept { return find(process) != nullptr; }
  /// Where the process takes notes; 0: it has no handle.
  std::uint64_t note_token(wire::Address process) const noexcept {
    const Holder* const holder = find(process);
    return holder == nullptr ? 0 : holder->note_token;
  }
  /// Every process that has a handle, once.
  std::vector<wire::Address> holders() const;

 private:
  struct Holder {
    wire::Address process;
    std::uint64_t note_token;
  };
  const Holder* find(wire::Address process) const noexcept;

  std::vector<Holder> holders_;  // one entry a hold; a process that drops and decodes at once has two for a moment
  std::unordered_map<std::uint64_t, std::int32_t> pins_;  // those whose changes do not cancel out yet
};

}  // namespace rankpool::objects
