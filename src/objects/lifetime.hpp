// Who has a handle of an object.
#pragma once

#include <cstdint>
#include <vector>

#include "wire/header.hpp"

namespace rankpool::objects {

/// Counts the processes that have a handle, and the handles that are under way in messages. Holds and pins of one
/// handle may arrive in any order, since they come from different processes; what each process says arrives in its
/// order, so the sum only becomes nothing when there is nothing (the sender's hold outlives its pin's arrival).
class Lifetime {
 public:
  void hold(wire::Address process, std::uint64_t note_token) { holders_.push_back({process, note_token}); }
  /// One hold less. True if the process has none left now.
  bool drop(wire::Address process);
  void pin(std::int64_t change) noexcept { pins_ += change; }

  bool over() const noexcept { return holders_.empty() && pins_ == 0; }
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
  std::int64_t pins_ = 0;
};

}  // namespace rankpool::objects
