// The items of a queue at its home.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "link/payload.hpp"
#include "wire/queue.hpp"

namespace rankpool::objects {

/// First in, first out. Small items lie one behind the other in blocks, so that most cost no allocation; large ones
/// stay the slices they came as.
class ItemLine {
 public:
  using Cargo = std::vector<wire::QueueCargo>;

  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

  void push(const link::PayloadView& item, Cargo cargo = {});
  /// The next item; holds until it is popped. There must be one.
  link::PayloadView front() const;
  /// Takes the next item away; returns the handles in it. There must be one.
  Cargo pop();
  /// Appends the next items, each with its length in front, as long as they are few, small and without handles. How
  /// many; none of them is taken away.
  std::size_t copy_front(std::vector<std::byte>& out, std::size_t most_items, std::size_t most_bytes) const;

 private:
  /// In front of each item in a block.
  struct Mark {
    wire::QueueLength length;  // in line
    bool special() const noexcept { return (length & special_bit) != 0; }
    std::size_t bytes() const noexcept { return length & ~special_bit; }
  };
  static constexpr wire::QueueLength special_bit = wire::QueueLength{1} << 31;
  /// What does not lie in the block.
  struct Special {
    link::Slice slice;
    Cargo cargo;
  };
  static Mark mark_at(std::span<const std::byte> at) noexcept;
  std::vector<std::byte>& block_with_room(std::size_t count);

  std::deque<std::vector<std::byte>> blocks_;  // none is empty but perhaps the last
  std::size_t begin_ = 0;                      // of the next item, in the first block
  std::vector<std::byte> spare_;
  std::deque<Special> special_;  // of the special items, in their order
  std::size_t size_ = 0;
};

}  // namespace rankpool::objects
