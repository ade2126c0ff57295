// The items of a job that have not ended yet, in the blocks in which they came.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "link/payload.hpp"

namespace rankpool::engine {

/// Keeps blocks of items until every task in them has ended, so that a lost task can be sent once more.
class ItemStore {
 public:
  /// `item_bytes`: size of every item; 0: each has its length in front.
  explicit ItemStore(std::uint32_t item_bytes) noexcept : item_bytes_(item_bytes) {}

  /// Tasks [first, first + count) have these items. @throws wire::BadFrame if the sizes do not fit
  void add(std::uint64_t first, std::uint64_t count, const link::PayloadView& items);
  /// The items of [first, first + count), which came in one block and have not ended; large ones by reference.
  /// The view holds until one of them ends. @throws std::logic_error if they are not here
  link::PayloadView items(std::uint64_t first, std::uint64_t count);
  /// How many of the tasks [first, first + count), none of which has ended, came in one block with the first.
  /// @throws std::logic_error if they are not here
  std::uint64_t together(std::uint64_t first, std::uint64_t count) const;
  /// These tasks have ended: their items go, and a block's memory with its last one.
  void ended(std::uint64_t first, std::uint64_t count);
  bool empty() const noexcept { return live_.empty(); }

 private:
  struct Block {
    std::uint64_t first;
    std::uint64_t count;
    link::Payload payload;
    std::uint64_t cursor_index = 0;  // where the last lookup ended: runs are mostly taken in order
    std::uint64_t cursor_offset = 0;
  };
  struct Live {
    std::uint64_t count;
    std::shared_ptr<Block> block;
  };
  std::uint64_t offset_of(Block& block, std::uint64_t index) const;

  std::uint32_t item_bytes_;
  std::map<std::uint64_t, Live> live_;  // intervals of tasks that have not ended, by first task
};

}  // namespace rankpool::engine
