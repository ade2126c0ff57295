#include "link/link.hpp"

#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

#include "wire/bad_frame.hpp"

namespace rankpool::link {
namespace {

// A multiple of every page size in use; what is not touched takes no memory.
constexpr std::size_t head_bytes = 64 * 1024;
constexpr std::size_t file_bytes = head_bytes + 2 * LinkEnd::ring_bytes;
constexpr std::size_t map_bytes = head_bytes + 4 * LinkEnd::ring_bytes;
static_assert((LinkEnd::ring_bytes & (LinkEnd::ring_bytes - 1)) == 0 && LinkEnd::ring_bytes % head_bytes == 0);
static_assert(LinkEnd::ring_bytes >= 4 * (sizeof(wire::Header) + wire::max_body));

/// The offsets of the two rings in the mapping, where each has two copies.
constexpr std::size_t to_user_at = head_bytes;
constexpr std::size_t to_engine_at = head_bytes + 2 * LinkEnd::ring_bytes;

/// What goes through the socket for each frame with a slice, in the order of the ring.
struct Parcel {
  std::uint64_t position;  ///< of its record in the ring
  std::uint64_t offset;
  std::uint64_t length;
  std::uint64_t size;  ///< of the whole segment
};

void map_piece(std::byte* at, std::size_t size, int fd, std::size_t offset) {
  void* got = ::mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, static_cast<off_t>(offset));
  if (got == MAP_FAILED) throw_errno("rankpool: mmap of a link");
}

std::byte* map_link(int fd) {
  // The address range is taken first, so that the second copy of each ring has its place behind the first.
  void* range = ::mmap(nullptr, map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) throw_errno("rankpool: mmap of a link");
  std::byte* const base = static_cast<std::byte*>(range);
  try {
    map_piece(base, head_bytes, fd, 0);
    for (int copy = 0; copy < 2; ++copy) {
      const std::size_t shift = copy == 0 ? 0 : LinkEnd::ring_bytes;
      map_piece(base + to_user_at + shift, LinkEnd::ring_bytes, fd, head_bytes);
      map_piece(base + to_engine_at + shift, LinkEnd::ring_bytes, fd, head_bytes + LinkEnd::ring_bytes);
    }
  } catch (...) {
    ::munmap(range, map_bytes);
    throw;
  }
  return base;
}

/// 0 if it is not open.
std::uint64_t inode_of(int fd) noexcept {
  struct stat file {};
  return ::fstat(fd, &file) == 0 ? file.st_ino : 0;
}

}  // namespace

LinkEnd::LinkEnd(Side side, int memory, UniqueFd socket, RankPageData* page)
    : socket_(std::move(socket)), socket_inode_(inode_of(socket_.get())) {
  static_assert(sizeof(Data) <= head_bytes);
  std::byte* const base = map_link(memory);
  if (side == Side::engine) {
    data_ = new (base) Data;
    peer_bell_ = &data_->bell;
    out_ = RingWriter(&data_->to_user, base + to_user_at, ring_bytes);
    in_ = RingReader(&data_->to_engine, base + to_engine_at, ring_bytes);
  } else {
    data_ = reinterpret_cast<Data*>(base);
    data_->user.store(::getpid(), std::memory_order_relaxed);
    peer_bell_ = &page->bell;
    core_is_free_ = &page->core_is_free;
    out_ = RingWriter(&data_->to_engine, base + to_engine_at, ring_bytes);
    in_ = RingReader(&data_->to_user, base + to_user_at, ring_bytes);
  }
}

LinkEnd::LinkEnd(LinkEnd&& other) noexcept { swap(other); }

LinkEnd& LinkEnd::operator=(LinkEnd&& other) noexcept {
  LinkEnd fresh(std::move(other));
  swap(fresh);
  return *this;
}

LinkEnd::~LinkEnd() {
  if (data_ != nullptr) ::munmap(data_, map_bytes);
}

void LinkEnd::swap(LinkEnd& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(peer_bell_, other.peer_bell_);
  std::swap(core_is_free_, other.core_is_free_);
  other.answered_.store(answered_.exchange(other.answered_.load()));
  std::swap(socket_, other.socket_);
  std::swap(socket_inode_, other.socket_inode_);
  std::swap(out_, other.out_);
  std::swap(slices_sent_, other.slices_sent_);
  std::swap(in_, other.in_);
  std::swap(current_, other.current_);
  std::swap(current_head_, other.current_head_);
  std::swap(current_slice_, other.current_slice_);
}

std::pair<LinkEnd, LinkEnd::Descriptors> LinkEnd::create() {
  UniqueFd memory = make_memfd("rankpool-link", file_bytes);
  auto [mine, theirs] = make_socket_pair();
  LinkEnd engine(Side::engine, memory.get(), std::move(mine), nullptr);
  return {std::move(engine), Descriptors{memory.release(), theirs.release()}};
}

LinkEnd LinkEnd::open(Descriptors descriptors, RankPageData& page) {
  const UniqueFd memory(descriptors.memory);
  return LinkEnd(Side::user, memory.get(), UniqueFd(descriptors.socket), &page);
}

bool LinkEnd::intact() const noexcept { return inode_of(socket_.get()) == socket_inode_; }

void LinkEnd::throw_too_long(std::size_t body) {
  throw std::length_error("rankpool: a frame of " + std::to_string(body) +
                          " bytes does not fit in line; its payload must travel as a segment");
}

/// The kernel lets a user have no more descriptors on their way than a process may have open, in all links together: a
/// link that took them all would keep the answers from coming.
bool LinkEnd::has_room_for_slice() {
  static const std::size_t most = [] {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    return static_cast<std::size_t>(std::clamp<rlim_t>(limit.rlim_cur / 32, 1, 64));
  }();
  while (!slices_sent_.empty() && slices_sent_.front() < out_.taken()) slices_sent_.pop_front();
  return slices_sent_.size() < most;
}

bool LinkEnd::send_slice(const Slice& slice) {
  if (!has_room_for_slice()) return false;
  Parcel parcel{out_.position(), slice.offset, slice.length, slice.segment->size()};
  UniqueFd copy;
  if (!slice.segment->has_descriptor()) {
    pollfd room{socket_.get(), POLLOUT, 0};
    if (::poll(&room, 1, 0) <= 0) return false;  // not worth a copy now
    copy = copy_to_file(slice.bytes());
    parcel.offset = 0;
    parcel.size = slice.length;
  }
  const int fd = copy ? copy.get() : slice.segment->fd();
  if (send_message(socket_.get(), std::as_bytes(std::span(&parcel, 1)), std::span(&fd, 1)) != Sent::yes) return false;
  slices_sent_.push_back(parcel.position);
  return true;
}

void LinkEnd::receive_slice() {
  Parcel parcel{};
  int fd = -1;
  switch (receive_message(socket_.get(), std::as_writable_bytes(std::span(&parcel, 1)), std::span(&fd, 1))) {
    case Received::yes:
      break;
    case Received::descriptors_lost:
      throw std::system_error(EMFILE, std::generic_category(),
                              "rankpool: a large payload cannot be opened (raise the limit of open files: ulimit -n)");
    case Received::empty:
    case Received::closed:
      throw wire::BadFrame("rankpool: a frame in a link says that a segment comes with it, but there is none");
  }
  auto segment = std::make_shared<Segment>(fd, parcel.size);
  struct stat file {};
  const bool fits = parcel.position == in_.position() && parcel.length == current_head_.segment &&
                    parcel.length <= parcel.size && parcel.offset <= parcel.size - parcel.length &&
                    ::fstat(fd, &file) == 0 && file.st_size >= 0 &&
                    static_cast<std::uint64_t>(file.st_size) >= parcel.size;
  if (!fits) throw wire::BadFrame("rankpool: a segment in a link does not belong to its frame, or is cut off");
  current_slice_ = spare_descriptor({std::move(segment), parcel.offset, parcel.length});
}

bool LinkEnd::receive(Incoming& in) {
  if (current_ == 0) {
    const std::size_t readable = in_.readable();
    if (readable == 0) return false;
    if (readable > ring_bytes || readable < sizeof(wire::Header)) {
      throw wire::BadFrame("rankpool: the counters of a link are damaged");
    }
    // The peer can still write here: whatever is checked is checked in the copy.
    std::memcpy(&current_head_, in_.data(), sizeof current_head_);
    if (current_head_.body > wire::max_body || ring_space(sizeof(wire::Header) + current_head_.body) > readable) {
      throw wire::BadFrame("rankpool: a frame in a link says that it has " + std::to_string(current_head_.body) +
                           " bytes, but only " + std::to_string(readable - sizeof(wire::Header)) + " are there");
    }
    if (current_head_.segment != 0) receive_slice();
    current_ = sizeof(wire::Header) + current_head_.body;
  }
  in.head = current_head_;
  in.body = {in_.data() + sizeof(wire::Header), current_head_.body};
  in.slice = current_slice_;
  return true;
}

}  // namespace rankpool::link
