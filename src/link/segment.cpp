#include "link/segment.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace rankpool::link {
namespace {

// Smaller ones are sent for the sake of their descriptor: the file is not what they say (Windows::slice). Larger ones
// are so few that their descriptors are not what runs out, and too large to be copied.
constexpr std::uint64_t smallest_copied = 4096;
constexpr std::uint64_t largest_copied = 16 * 1024 * 1024;

}  // namespace

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
  if (own_) return {own_.get() + offset, length};
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
  const auto plain = [size] {
    return std::make_shared<Segment>(std::make_unique_for_overwrite<std::byte[]>(size), size);
  };
  SharedMemory memory;
  try {
    memory = take_memory(size);
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::too_many_files_open || size > largest_copied) throw;
    return plain();
  }
  if (is_scarce(memory.fd) && size <= largest_copied) {
    discard(memory);
    return plain();
  }
  memory.warm = memory.warm < size ? size : memory.warm;
  try {
    return std::make_shared<Segment>(memory, size);
  } catch (...) {
    discard(memory);
    throw;
  }
}

Slice spare_descriptor(Slice slice) {
  if (slice.length < smallest_copied || slice.length > largest_copied || !is_scarce(slice.segment->fd())) return slice;
  auto bytes = std::make_unique_for_overwrite<std::byte[]>(slice.length);
  for (std::uint64_t done = 0; done < slice.length;) {
    const ssize_t got =
        ::pread(slice.segment->fd(), bytes.get() + done, slice.length - done, static_cast<off_t>(slice.offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno("rankpool: reading a large payload");
    if (got == 0) return slice;  // shorter than it says: whoever looks at it finds out
    done += static_cast<std::uint64_t>(got);
  }
  const std::uint64_t length = slice.length;
  return {std::make_shared<Segment>(std::move(bytes), length), 0, length};
}

UniqueFd copy_to_file(std::span<const std::byte> bytes) {
  UniqueFd fd = make_memfd("rankpool-segment", bytes.size());
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t wrote = ::pwrite(fd.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) throw_errno("rankpool: writing a large payload");
    done += static_cast<std::size_t>(wrote);
  }
  return fd;
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
