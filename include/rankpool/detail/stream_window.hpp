// How far ahead of its results a stream draws its input.
#pragma once

#include <cstdint>

namespace rankpool::detail {

/// Bounds the items that are drawn and not yet yielded: by the number given, or two chunks a worker. A chunk that is
/// not given is one item at first and grows as results are yielded, until it takes about a millisecond. Not
/// thread-safe.
class StreamWindow {
 public:
  /// 0 for `chunksize` or `buffersize`: automatic.
  StreamWindow(std::uint64_t chunksize, std::uint64_t buffersize, std::uint64_t workers) noexcept;

  /// At most so many items are drawn and not yet yielded.
  std::uint64_t bound() const noexcept { return bound_; }
  /// Items that belong into one message.
  std::uint64_t granule() const noexcept { return chunksize_ == 0 ? 1 : chunksize_; }
  /// How many items to draw when `ahead` are drawn and not yet yielded: whole granules, or 0 while it would not be
  /// worth a message.
  std::uint64_t refill(std::uint64_t ahead) const noexcept {
    const std::uint64_t room = ahead < bound_ ? bound_ - ahead : 0;
    return room < step_ ? 0 : room - room % granule();
  }

  /// Items were drawn, `bytes` in all as they travel.
  void drawn(std::uint64_t count, std::uint64_t bytes) noexcept;
  /// Tasks ended after so many ns of computing in all.
  void computed(std::uint64_t count, std::uint64_t work) noexcept;
  /// Their results took so many bytes.
  void received(std::uint64_t count, std::uint64_t bytes) noexcept;
  /// Sizes the window by what is known; `yielded` items were yielded in all.
  void adapt(std::uint64_t yielded) noexcept;

 private:
  std::uint64_t wanted() const noexcept;
  void set_bound() noexcept;

  std::uint64_t chunksize_;
  std::uint64_t buffersize_;
  std::uint64_t workers_;
  std::uint64_t chunk_ = 1;  // items for about a millisecond, as far as it may have grown
  std::uint64_t grown_at_ = 0;
  std::uint64_t bound_ = 1;
  std::uint64_t step_ = 1;  // a refill of less is not worth a message
  double task_ns_ = 0;      // mean of the last hundred tasks or so
  double seen_ = 0;
  double item_bytes_ = 0;  // of recent large ones
  double result_bytes_ = 0;
};

}  // namespace rankpool::detail
