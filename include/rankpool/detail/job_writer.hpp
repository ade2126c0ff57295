// Writing the input of a job.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <ranges>
#include <type_traits>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/checkpoint.hpp>
#include <rankpool/detail/codec.hpp>
#include <rankpool/detail/fold_kind.hpp>
#include <rankpool/detail/job_state.hpp>

namespace rankpool::detail {

class PoolClient;

/// What the scheduler must know of a job before its items come.
struct JobShape {
  std::uint64_t chunksize = 0;    ///< 0: automatic
  int retries = -1;               ///< -1: the pool's
  int priority = 0;               ///< higher first
  std::uint64_t time_limit = 0;   ///< ns that a task may run; 0: no limit
  std::uint64_t first_index = 0;  ///< what the first task is called; of a call its pool says
  bool is_call = false;           ///< one task, which can be asked about
  std::uint32_t item_bytes = 0;   ///< 0: every item has its length in front
  bool each_awaited = false;      ///< somebody waits for every result, not just for the last
  Fold fold = Fold::none;
};

/// Sends the items of one job, in blocks that start small, so that the first workers begin at once, and grow. A job
/// that is not finished when the writer goes (its input threw) is cancelled.
class JobWriter {
 public:
  /// Opens the job. An item whose `serialize` throws ends the job. @throws PoolClosed, or the error of a failed
  /// initializer
  JobWriter(std::shared_ptr<PoolClient> pool, std::shared_ptr<JobState> state, const JobShape& shape, Buffer callable,
            std::shared_ptr<Checkpoint> checkpoint = nullptr);
  JobWriter(const JobWriter&) = delete;
  JobWriter& operator=(const JobWriter&) = delete;
  ~JobWriter();

  template <class Item>
  void add(const Item& item) {
    encode_item(block_, item);
    ++in_block_;
    if (block_.size() >= block_limit_) offer();
  }
  /// Every element of the range as an Item; raw ones that lie in a row go as they lie in memory.
  template <class Item, class Range>
  void add_all(Range& range) {
    using Element = std::remove_cvref_t<std::ranges::range_reference_t<Range>>;
    if constexpr (std::ranges::contiguous_range<Range> && std::ranges::sized_range<Range> && Codec<Item>::raw &&
                  std::is_same_v<Element, Item>) {
      add_raw(std::ranges::data(range), static_cast<std::uint64_t>(std::ranges::size(range)));
    } else if constexpr (std::is_same_v<Element, Item>) {
      for (auto&& item : range) add(item);
    } else {  // a proxy, as of std::vector<bool>, or an entry of a map
      for (auto&& item : range) add(Item(item));
    }
  }
  /// All items have been added. @throws CheckpointError if the checkpoint is of a longer input
  void finish();

 private:
  template <class Item>
  void add_raw(const Item* items, std::uint64_t count) {
    while (count > 0) {
      const std::size_t room = block_limit_ - std::min(block_limit_, block_.size());
      const std::uint64_t now = std::min(count, whole_chunks(std::max<std::uint64_t>(1, room / sizeof(Item))));
      append_raw(block_, items, static_cast<std::size_t>(now));
      in_block_ += now;
      items += now;
      count -= now;
      if (block_.size() >= block_limit_) offer();
    }
  }
  void offer();
  void send_block();
  /// At least `count`, up to the next end of a chunk.
  std::uint64_t whole_chunks(std::uint64_t count) const noexcept {
    if (chunksize_ <= 1) return count;
    const std::uint64_t over = (in_block_ + count) % chunksize_;
    return over == 0 ? count : count + (chunksize_ - over);
  }

  std::shared_ptr<PoolClient> pool_;
  std::shared_ptr<JobState> state_;
  std::shared_ptr<Checkpoint> checkpoint_;
  std::uint64_t token_ = 0;
  std::uint64_t chunksize_ = 0;
  Buffer block_;
  std::uint64_t in_block_ = 0;
  std::size_t block_limit_;
  bool finished_ = false;
};

}  // namespace rankpool::detail
