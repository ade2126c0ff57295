#include "link/segment.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "link/descriptors.hpp"

namespace rankpool::link {

Segment::Segment(SharedMemory memory, std::size_t size) noexcept
    : fd_(open_read_only(memory.fd)), size_(size), written_(memory) {
  // Without a second opening nobody can tell when the receivers are done, so this memory is used once.
  if (fd_ < 0) fd_ = std::exchange(written_.fd, -1);
}

Segment::~Segment() {
  if (map_ != nullptr) ::munmap(const_cast<std::byte*>(map_), size_);
  if (fd_ >= 0) ::close(fd_);
  if (written_.fd >= 0) {
    recycle(written_);
  } else {
    discard(written_);
  }
}

const std::byte* Segment::data() {
  if (written_.map != nullptr) return written_.map;
  if (map_ == nullptr && size_ != 0) map_ = map_shared(fd_, size_, false, MAP_POPULATE);
  return map_;
}

std::shared_ptr<Segment> Segment::create(std::size_t size) {
  SharedMemory memory = take_memory(size);
  memory.warm = memory.warm < size ? size : memory.warm;
  try {
    return std::make_shared<Segment>(memory, size);
  } catch (...) {
    discard(memory);
    throw;
  }
}

Slice take_slice(detail::Buffer& buffer) {
  const std::size_t size = buffer.size();
  const detail::Buffer::Memory memory = buffer.release_memory();
  if (memory.map == nullptr) return {};
  const SharedMemory shared{memory.fd, memory.map, memory.capacity, memory.warm};
  try {
    return {std::make_shared<Segment>(shared, size), 0, size};
  } catch (...) {
    discard(shared);
    throw;
  }
}

}  // namespace rankpool::link
