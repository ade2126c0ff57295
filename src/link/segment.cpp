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
  unmap(first_);
  unmap(whole_);
  if (fd_ >= 0) ::close(fd_);
  if (written_.fd >= 0) {
    recycle(written_);
  } else {
    discard(written_);
  }
}

std::span<const std::byte> Segment::view(std::uint64_t offset, std::uint64_t length) {
  if (length == 0) return {};
  const auto part = [&](const Mapping& mapping) { return mapping.bytes.subspan(offset - mapping.begin, length); };
  if (written_.map != nullptr) return {written_.map + offset, length};
  if (first_.bytes.data() == nullptr) first_ = map(offset, length);
  if (first_.holds(offset, length)) return part(first_);
  if (whole_.bytes.data() == nullptr) whole_ = map(0, size_);
  return part(whole_);
}

Segment::Mapping Segment::map(std::uint64_t offset, std::uint64_t length) const {
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t begin = offset / page * page;
  const std::uint64_t size = offset + length - begin;
  return {begin, {map_shared(fd_, size, false, MAP_POPULATE, begin), size}};
}

void Segment::unmap(const Mapping& mapping) noexcept {
  if (mapping.bytes.data() != nullptr) ::munmap(const_cast<std::byte*>(mapping.bytes.data()), mapping.bytes.size());
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
