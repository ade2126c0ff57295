// Which rank a Process goes to.
#pragma once

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

namespace rankpool::scheduler {

/// Counts the Processes that live on every rank. Room is what its slots leave; there may be less than none, because a
/// Process is never refused for want of room.
class ProcessPlacement {
 public:
  /// `slots` by rank.
  explicit ProcessPlacement(std::vector<int> slots) : room_(slots), slots_(std::move(slots)) {}

  /// The rank for one more Process, which is counted there: the one asked for, else the one with the most room, the
  /// lowest among equals. A rank without slots, which has other work, is only taken if asked for.
  /// @throws std::out_of_range if there is no such rank
  int place(std::optional<int> wish);
  /// A Process of this rank has ended.
  void ended(int rank) { ++room_.at(static_cast<std::size_t>(rank)); }
  /// The rank is gone for good, and is not chosen any more.
  void lose(int rank) { slots_.at(static_cast<std::size_t>(rank)) = 0; }

 private:
  std::vector<int> room_;
  std::vector<int> slots_;
};

}  // namespace rankpool::scheduler
