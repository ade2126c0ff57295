// Who has least, or most: members in 64 levels, found and moved in constant time.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

namespace rankpool::scheduler {

/// The level of a count: equal to it up to 15, then eight levels to each doubling, 63 at most.
constexpr int level_of(std::uint64_t count) noexcept {
  if (count < 16) return static_cast<int>(count);
  const int octave = 63 - std::countl_zero(count);
  const int level = 16 + (octave - 4) * 8 + static_cast<int>((count >> (octave - 3)) & 7U);
  return level < 63 ? level : 63;
}

/// Members (small numbers) in levels 0 to 63, first come first served within a level.
class LevelLists {
 public:
  using Member = std::uint32_t;

  LevelLists() { ends_.fill(Ends{none, none}); }

  bool empty() const noexcept { return occupied_ == 0; }
  /// The lowest and the highest level that has a member; -1 if none has.
  int lowest() const noexcept { return empty() ? -1 : std::countr_zero(occupied_); }
  int highest() const noexcept { return 63 - std::countl_zero(occupied_); }
  /// Of a level that has a member.
  Member front(int level) const noexcept { return ends_[static_cast<std::size_t>(level)].first; }
  /// -1 if it is in none.
  int level(Member member) const noexcept { return member < nodes_.size() ? nodes_[member].level : -1; }

  /// Moves the member to the end of that level.
  void place(Member member, int level) {
    if (member >= nodes_.size()) nodes_.resize(member + 1);
    remove(member);
    Ends& ends = ends_[static_cast<std::size_t>(level)];
    nodes_[member] = Node{ends.last, none, level};
    (ends.last == none ? ends.first : nodes_[ends.last].next) = member;
    ends.last = member;
    occupied_ |= bit(level);
  }

  void remove(Member member) noexcept {
    if (level(member) < 0) return;
    Node& node = nodes_[member];
    Ends& ends = ends_[static_cast<std::size_t>(node.level)];
    (node.previous == none ? ends.first : nodes_[node.previous].next) = node.next;
    (node.next == none ? ends.last : nodes_[node.next].previous) = node.previous;
    if (ends.first == none) occupied_ &= ~bit(node.level);
    node.level = -1;
  }

 private:
  static constexpr Member none = ~Member{0};
  static constexpr std::uint64_t bit(int level) noexcept { return std::uint64_t{1} << level; }

  struct Node {
    Member previous = none;
    Member next = none;
    int level = -1;
  };
  struct Ends {
    Member first;
    Member last;
  };

  std::vector<Node> nodes_;
  std::array<Ends, 64> ends_;
  std::uint64_t occupied_ = 0;
};

}  // namespace rankpool::scheduler
