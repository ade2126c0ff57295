#include "link/window.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <string>
#include <system_error>
#include <utility>

namespace rankpool::link {
namespace {

constexpr std::uint64_t smallest_window = std::uint64_t{64} << 20;
constexpr std::uint64_t worth_punching = 64 * 1024;

std::uint64_t soft_limit(__rlimit_resource what) noexcept {
  rlimit limit{};
  return ::getrlimit(what, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

/// A file that grows beyond its limit does not fail, but ends its process; and a process maps several windows.
std::uint64_t largest_allowed() noexcept {
  constexpr std::uint64_t share = 16;
  return std::min<std::uint64_t>({Window::largest, soft_limit(RLIMIT_FSIZE), soft_limit(RLIMIT_AS) / share});
}

std::uint64_t size_of_file(int fd) noexcept {
  struct stat what {};
  return ::fstat(fd, &what) == 0 && S_ISREG(what.st_mode) ? static_cast<std::uint64_t>(what.st_size) : 0;
}

}  // namespace

Window::Window(int fd, std::uint64_t bytes) : map_(map_shared(fd, bytes, true, MAP_NORESERVE)), bytes_(bytes) {
  ::madvise(map_, bytes_, MADV_DONTDUMP);
}

Window Window::create(std::uint64_t magic) {
  std::uint64_t size = Window::largest;
  while (size > smallest_window && size > largest_allowed()) size /= 4;
  for (;; size /= 4) {
    try {
      UniqueFd fd = make_memfd("rankpool-window", size);
      Window window(fd.get(), size);
      window.fd_ = std::move(fd);
      new (window.map_) Head{.magic = magic, .size = size};
      return window;
    } catch (const std::system_error&) {  // a limit of address space
      if (size <= smallest_window) throw;
    }
  }
}

Window Window::open_peer(int pid, int fd, std::uint64_t magic) noexcept {
  if (pid <= 0 || fd < 0) return {};
  try {
    const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
    // In another process namespace this can be anything: a terminal or a pipe must not be disturbed.
    UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    const std::uint64_t size = file ? size_of_file(file.get()) : 0;
    if (size < smallest_window) return {};
    Window window(file.get(), limit_of_cells(size));
    window.fd_ = std::move(file);
    if (window.head().magic != magic || window.head().size != size) return {};
    return window;
  } catch (...) {
    return {};
  }
}

Window Window::open(int fd) { return Window(fd, size_of_file(fd)); }

Window::Window(Window&& other) noexcept
    : fd_(std::move(other.fd_)), map_(std::exchange(other.map_, nullptr)), bytes_(other.bytes_) {}

Window& Window::operator=(Window&& other) noexcept {
  Window old(std::move(*this));
  fd_ = std::move(other.fd_);
  map_ = std::exchange(other.map_, nullptr);
  bytes_ = other.bytes_;
  return *this;
}

Window::~Window() {
  if (map_ != nullptr) ::munmap(map_, bytes_);
}

void Window::clean_cells_after(Owner process) const noexcept {
  const std::uint64_t end = std::min(head().cells_end.load(std::memory_order_acquire), bytes_);
  for (std::uint64_t offset = head_bytes; offset < end; offset += sizeof(Cell)) clean_after(cell(offset), process);
}

void Window::clean_cells_after_rank(int rank) const noexcept {
  const std::uint64_t end = std::min(head().cells_end.load(std::memory_order_acquire), bytes_);
  for (std::uint64_t offset = head_bytes; offset < end; offset += sizeof(Cell)) clean_after_rank(cell(offset), rank);
}

void Window::wipe(std::uint64_t offset, std::uint64_t bytes) const noexcept {
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t first = (offset + page - 1) / page * page;
  const std::uint64_t last = (offset + bytes) / page * page;
  if (bytes >= worth_punching && first < last &&
      ::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(first),
                  static_cast<off_t>(last - first)) == 0) {
    std::memset(at(offset), 0, first - offset);
    std::memset(at(last), 0, offset + bytes - last);
  } else {
    std::memset(at(offset), 0, bytes);
  }
}

}  // namespace rankpool::link
