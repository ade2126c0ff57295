#include "link/descriptors.hpp"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace rankpool::link {

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) ::close(fd_);
}

bool is_scarce(int fd) noexcept {
  constexpr rlim_t least_left = 6;  // what a rank needs at a time to pass on a payload and to start a worker
  rlimit limit{};
  if (fd < 0 || ::getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  return static_cast<rlim_t>(fd) + std::max(least_left, limit.rlim_cur / 4) >= limit.rlim_cur;
}

void throw_errno(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

UniqueFd make_memfd(const char* name, std::size_t size) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC));
  if (!fd) throw_errno("rankpool: memfd_create (raise the limit of open files: ulimit -n)");
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) throw_errno("rankpool: ftruncate of shared memory");
  return fd;
}

std::byte* map_shared(int fd, std::size_t size, bool writable, int extra_flags, std::uint64_t offset) {
  void* at = ::mmap(nullptr, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED | extra_flags, fd,
                    static_cast<off_t>(offset));
  if (at == MAP_FAILED)
    throw_errno("rankpool: mmap of shared memory (raise the limit of memory: ulimit -v; or send less at a time)");
  return static_cast<std::byte*>(at);
}

std::pair<UniqueFd, UniqueFd> make_socket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    throw_errno("rankpool: socketpair (raise the limit of open files: ulimit -n)");
  }
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

namespace {

union Control {
  cmsghdr align;
  std::array<char, CMSG_SPACE(sizeof(int) * max_descriptors)> space;
};

void close_all(std::span<const int> descriptors) noexcept {
  for (const int fd : descriptors) ::close(fd);
}

}  // namespace

Sent send_message(int socket, std::span<const std::byte> message, std::span<const int> descriptors) {
  iovec part{const_cast<std::byte*>(message.data()), message.size()};
  Control control{};
  msghdr envelope{};
  envelope.msg_iov = &part;
  envelope.msg_iovlen = 1;
  if (!descriptors.empty()) {
    envelope.msg_control = &control;
    envelope.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* head = CMSG_FIRSTHDR(&envelope);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(head), descriptors.data(), descriptors.size_bytes());
  }
  while (::sendmsg(socket, &envelope, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    switch (errno) {
      case EINTR:
        continue;
      case EAGAIN:
      case ETOOMANYREFS:
      case ENOBUFS:
      case ENOMEM:
        return Sent::full;
      case EPIPE:
      case ECONNRESET:
      case ENOTCONN:
        return Sent::closed;
      default:
        throw_errno("rankpool: sendmsg between processes of a rank");
    }
  }
  return Sent::yes;
}

Received receive_message(int socket, std::span<std::byte> message, std::span<int> descriptors) {
  iovec part{message.data(), message.size()};
  Control control{};
  msghdr envelope{};
  envelope.msg_iov = &part;
  envelope.msg_iovlen = 1;
  envelope.msg_control = &control;
  envelope.msg_controllen = sizeof control;
  ssize_t got = 0;
  // A peer that left with unread messages makes the first call fail; what it had sent is still there behind that.
  for (bool reset = false; (got = ::recvmsg(socket, &envelope, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) < 0;) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return Received::empty;
    if (errno != ECONNRESET) throw_errno("rankpool: recvmsg between processes of a rank");
    if (std::exchange(reset, true)) return Received::closed;
  }
  if (got == 0) return Received::closed;

  std::array<int, max_descriptors> arrived{};
  std::size_t count = 0;
  for (cmsghdr* head = CMSG_FIRSTHDR(&envelope); head != nullptr; head = CMSG_NXTHDR(&envelope, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::memcpy(arrived.data(), CMSG_DATA(head), count * sizeof(int));
  }
  const std::span<const int> all(arrived.data(), count);
  if (static_cast<std::size_t>(got) == message.size() && count == descriptors.size()) {
    std::copy_n(arrived.begin(), count, descriptors.begin());
    return Received::yes;
  }
  close_all(all);
  if ((envelope.msg_flags & MSG_CTRUNC) != 0 && count < descriptors.size()) return Received::descriptors_lost;
  errno = EPROTO;
  throw_errno("rankpool: a message between processes of a rank has a wrong form");
}

}  // namespace rankpool::link
