#include "link/shared_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <mutex>
#include <new>
#include <system_error>
#include <utility>

#include "link/descriptors.hpp"

namespace rankpool::link {
namespace {

constexpr std::size_t smallest = 64 * 1024;
constexpr std::size_t largest = std::size_t{1} << 46;

/// The pieces that this process has written before; the oldest is the first.
struct Kept {
  static constexpr std::size_t max_pieces = 20;
  static constexpr std::size_t max_bytes = 256 * 1024 * 1024;

  std::mutex mutex;
  std::array<SharedMemory, max_pieces> pieces;
  std::size_t count = 0;
  pid_t owner = -1;

  SharedMemory remove(std::size_t index) noexcept {
    const SharedMemory piece = pieces[index];
    std::move(pieces.begin() + static_cast<std::ptrdiff_t>(index) + 1,
              pieces.begin() + static_cast<std::ptrdiff_t>(count), pieces.begin() + static_cast<std::ptrdiff_t>(index));
    --count;
    return piece;
  }
  std::size_t bytes() const noexcept {
    std::size_t sum = 0;
    for (std::size_t i = 0; i < count; ++i) sum += pieces[i].capacity;
    return sum;
  }
  void drop_all() noexcept {
    while (count != 0) discard(remove(count - 1));
  }
  /// A process that was forked by user code has its parent's pieces mapped: they are not its own to write.
  void check_owner() noexcept {
    const pid_t self = ::getpid();
    if (owner != self) drop_all();
    owner = self;
  }
};

Kept& kept() {
  static Kept* const instance = new Kept;  // never destroyed: segments of static objects come back late
  return *instance;
}

int open_again(int fd, int mode) noexcept {
  char path[32] = "/proc/self/fd/";
  char* const number = path + std::strlen(path);
  *std::to_chars(number, path + sizeof path - 1, fd).ptr = '\0';
  return ::open(path, mode | O_CLOEXEC);
}

bool has_other_holders(int fd) noexcept {
  if (::fcntl(fd, F_SETLEASE, F_WRLCK) != 0) return true;
  ::fcntl(fd, F_SETLEASE, F_UNLCK);
  return false;
}

/// The smallest kept piece that is large enough and free; an empty one if there is none.
SharedMemory take_kept(std::size_t size) noexcept {
  Kept& all = kept();
  const std::lock_guard lock(all.mutex);
  all.check_owner();
  std::size_t best = all.count;
  for (std::size_t i = 0; i < all.count; ++i) {
    const bool better = best == all.count || all.pieces[i].capacity < all.pieces[best].capacity;
    if (all.pieces[i].capacity >= size && better && !has_other_holders(all.pieces[i].fd)) best = i;
  }
  return best == all.count ? SharedMemory{} : all.remove(best);
}

/// The kernel does not count the opening that memfd_create makes, so no lease can be had on it: open the file again.
/// Where that fails (no /proc), the piece is simply never found to be free.
UniqueFd make_leasable_memfd(std::size_t size) {
  UniqueFd fd = make_memfd("rankpool-segment", size);
  UniqueFd counted(open_again(fd.get(), O_RDWR));
  return counted ? std::move(counted) : std::move(fd);
}

std::size_t round_up(std::size_t size) {
  if (size > largest) throw std::bad_alloc();
  return (std::max(size, smallest) + smallest - 1) & ~(smallest - 1);
}

}  // namespace

SharedMemory take_memory(std::size_t size) {
  const std::size_t capacity = round_up(size);
  if (const SharedMemory piece = take_kept(size); piece.map != nullptr) return piece;
  UniqueFd fd;
  try {
    fd = make_leasable_memfd(capacity);
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::too_many_files_open) throw;
    discard_kept_memory();  // which has some
    fd = make_leasable_memfd(capacity);
  }
  std::byte* map = map_shared(fd.get(), capacity, true);
  return {fd.release(), map, capacity, 0};
}

void grow_memory(SharedMemory& memory, std::size_t used, std::size_t size) {
  const std::size_t capacity = round_up(std::max(size, std::min(2 * memory.capacity, largest)));
  if (SharedMemory piece = take_kept(size); piece.map != nullptr) {
    std::memcpy(piece.map, memory.map, used);
    piece.warm = std::max(piece.warm, used);
    recycle(std::exchange(memory, piece));
    return;
  }
  if (::ftruncate(memory.fd, static_cast<off_t>(capacity)) != 0) throw_errno("rankpool: ftruncate of shared memory");
  void* at = ::mremap(memory.map, memory.capacity, capacity, MREMAP_MAYMOVE);
  if (at == MAP_FAILED) throw_errno("rankpool: mremap of shared memory");
  memory.map = static_cast<std::byte*>(at);
  memory.capacity = capacity;
}

void recycle(SharedMemory memory) noexcept {
  if (memory.capacity > Kept::max_bytes || is_scarce(memory.fd)) return discard(memory);
  Kept& all = kept();
  const std::lock_guard lock(all.mutex);
  all.check_owner();
  while (all.count == Kept::max_pieces || all.bytes() + memory.capacity > Kept::max_bytes) discard(all.remove(0));
  all.pieces[all.count++] = memory;
}

void discard(SharedMemory memory) noexcept {
  if (memory.map != nullptr) ::munmap(memory.map, memory.capacity);
  if (memory.fd >= 0) ::close(memory.fd);
}

void discard_kept_memory() noexcept {
  Kept& all = kept();
  const std::lock_guard lock(all.mutex);
  all.drop_all();
}

int open_read_only(int fd) noexcept { return open_again(fd, O_RDONLY); }

}  // namespace rankpool::link
