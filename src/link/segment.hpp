// Large payloads: a memfd written once and read in place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include <rankpool/detail/buffer.hpp>

#include "link/descriptors.hpp"
#include "link/shared_memory.hpp"

namespace rankpool::link {

/// A memfd with its size and, from the first look at it on, a read-only mapping of what was looked at in this process.
/// Shared, because several slices of one segment may travel at once. Not thread-safe.
///
/// A process that waits for others may keep thousands of payloads. Before its descriptors run out it keeps them as
/// plain bytes, without one, and pays with a copy when such a payload goes on.
class Segment {
 public:
  /// Takes over `fd`; closes it in the end.
  Segment(int fd, std::size_t size) noexcept : fd_(fd), size_(size) {}
  /// Plain bytes.
  Segment(std::unique_ptr<std::byte[]> bytes, std::size_t size) noexcept
      : fd_(-1), size_(size), own_(std::move(bytes)) {}
  /// Takes over memory that was written here; it is used again once nobody has it any more.
  Segment(SharedMemory memory, std::size_t size) noexcept;
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  /// The descriptor to send to other processes; -1 for plain bytes.
  int fd() const noexcept { return fd_; }
  bool has_descriptor() const noexcept { return fd_ >= 0; }
  std::size_t size() const noexcept { return size_; }
  /// All of it, as `view` of the whole. @throws std::system_error
  const std::byte* data() { return view(0, size_).data(); }
  /// The bytes [offset, offset + length), which hold until the segment goes. The first call maps just these, since who
  /// received one slice of many has no use for the rest; a call for others maps all. @throws std::system_error
  std::span<const std::byte> view(std::uint64_t offset, std::uint64_t length);
  /// A new segment of `size` bytes, mapped for writing: what a transport receives into. Its content is undefined.
  /// @throws std::system_error, std::bad_alloc
  static std::shared_ptr<Segment> create(std::size_t size);
  /// The writable mapping of a segment whose memory was written here; null for others.
  std::byte* writable_data() noexcept { return own_ ? own_.get() : written_.map; }

 private:
  struct Mapping {
    std::uint64_t begin = 0;  // in the file; a multiple of the page size
    std::span<const std::byte> bytes;

    bool holds(std::uint64_t offset, std::uint64_t length) const noexcept {
      return bytes.data() != nullptr && offset >= begin && offset + length <= begin + bytes.size();
    }
  };
  Mapping map(std::uint64_t offset, std::uint64_t length) const;
  static void unmap(const Mapping& mapping) noexcept;

  int fd_;
  std::size_t size_;
  Mapping first_;  // what was looked at first
  Mapping whole_;
  SharedMemory written_;
  std::unique_ptr<std::byte[]> own_;
};

/// Part of a segment; empty when `segment` is null.
struct Slice {
  std::shared_ptr<Segment> segment;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;

  explicit operator bool() const noexcept { return segment != nullptr; }
  std::span<const std::byte> bytes() const { return segment->view(offset, length); }
};

/// The slice, which has just been received by a descriptor: as plain bytes if descriptors are scarce. @throws
/// std::system_error, std::bad_alloc
Slice spare_descriptor(Slice slice);
/// A new file with these bytes. @throws std::system_error
UniqueFd copy_to_file(std::span<const std::byte> bytes);

/// The bytes of a buffer as a slice: takes its memfd over; empty slice if the buffer is still on the heap.
Slice take_slice(detail::Buffer& buffer);

}  // namespace rankpool::link
