#include <rankpool/detail/buffer.hpp>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <new>

#include "link/shared_memory.hpp"

namespace rankpool::detail {
namespace {

constexpr std::size_t first_heap_size = 256;

/// Bytes written; fewer than `count` if the file cannot be written further.
std::size_t write_at(int fd, const std::byte* from, std::size_t count, std::size_t offset) {
  std::size_t done = 0;
  while (done < count) {
    const ssize_t wrote = ::pwrite(fd, from + done, count - done, static_cast<off_t>(offset + done));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && (errno == ENOMEM || errno == ENOSPC)) throw std::bad_alloc();
    if (wrote <= 0) break;
    done += static_cast<std::size_t>(wrote);
  }
  return done;
}

}  // namespace

void Buffer::grow(std::size_t count) {
  const std::size_t needed = size_ + count;
  if (needed < size_) throw std::bad_alloc();
  if (fd_ >= 0) {
    link::SharedMemory memory{fd_, data_, capacity_, std::max(warm_, size_)};
    link::grow_memory(memory, size_, needed);
    fd_ = memory.fd;
    data_ = memory.map;
    capacity_ = memory.capacity;
    warm_ = memory.warm;
  } else if (needed <= segment_threshold) {
    const std::size_t capacity = std::min(std::max({2 * capacity_, needed, first_heap_size}), segment_threshold);
    void* at = std::realloc(data_, capacity);
    if (at == nullptr) throw std::bad_alloc();
    data_ = static_cast<std::byte*>(at);
    capacity_ = capacity;
  } else {
    const link::SharedMemory memory = link::take_memory(needed);
    if (size_ != 0) std::memcpy(memory.map, data_, size_);
    std::free(data_);
    fd_ = memory.fd;
    data_ = memory.map;
    capacity_ = memory.capacity;
    warm_ = memory.warm;
  }
}

// Writing through the mapping makes the kernel clear each page before it is filled; `pwrite` does not, and saves the
// fault: half the time. Where there are pages already, a copy is faster than either.
void Buffer::append_large(const void* from, std::size_t count) {
  const std::size_t before = size_;
  std::byte* to = extend(count);
  const std::byte* source = static_cast<const std::byte*>(from);
  std::size_t done = 0;
  if (fd_ >= 0 && before + count > warm_) {
    try {
      done = write_at(fd_, source, count, before);
    } catch (...) {
      size_ = before;
      throw;
    }
  }
  if (done < count) std::memcpy(to + done, source + done, count - done);
}

Buffer::Memory Buffer::release_memory() noexcept {
  if (fd_ < 0) return {};
  const Memory memory{fd_, data_, capacity_, std::max(warm_, size_)};
  data_ = nullptr;
  size_ = capacity_ = warm_ = 0;
  fd_ = -1;
  return memory;
}

int Buffer::release_descriptor() noexcept {
  Memory memory = release_memory();
  const int fd = std::exchange(memory.fd, -1);
  link::discard({-1, memory.map, memory.capacity, 0});
  return fd;
}

void Buffer::release() noexcept {
  if (fd_ >= 0) {
    const Memory memory = release_memory();
    link::recycle({memory.fd, memory.map, memory.capacity, memory.warm});
  } else {
    std::free(data_);
    data_ = nullptr;
    size_ = capacity_ = 0;
  }
}

}  // namespace rankpool::detail
