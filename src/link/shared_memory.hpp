// Memory that other processes can map, used again while it is warm.
#pragma once

#include <cstddef>

namespace rankpool::link {

/// A memfd that is mapped here for writing. Plain data: whoever holds it calls `recycle` or `discard` in the end.
struct SharedMemory {
  int fd = -1;
  std::byte* map = nullptr;
  std::size_t capacity = 0;  ///< size of file and mapping
  std::size_t warm = 0;      ///< bytes from the start that have pages
};

// Fresh pages cost ten times as much as the copy that fills them. So every process keeps a few pieces that it has
// written and sent, and writes into them again once no receiver has them any more. The kernel tells when that is: what
// is sent is a second, read-only opening of the file (`open_read_only`), and the write lease of the first one is
// granted exactly if nobody has another one open, mapped, or under way, dead processes included. Thread-safe.

/// A piece of at least `size` bytes. Its content is undefined. @throws std::system_error, std::bad_alloc
SharedMemory take_memory(std::size_t size);
/// Makes the capacity at least `size`, and larger by a factor; keeps the first `used` bytes; may move.
/// @throws std::system_error, std::bad_alloc
void grow_memory(SharedMemory& memory, std::size_t used, std::size_t size);
/// Keeps the piece for `take_memory` if there is room for it. Receivers may still have it open.
void recycle(SharedMemory memory) noexcept;
void discard(SharedMemory memory) noexcept;
/// Gives all kept pieces back to the system.
void discard_kept_memory() noexcept;
/// A read-only descriptor of the same file that does not share its opening; -1 if /proc is missing.
int open_read_only(int fd) noexcept;

}  // namespace rankpool::link
