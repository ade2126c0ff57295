// Owning file descriptors, and sending them to other processes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace rankpool::link {

/// Closes its descriptor in the end.
class UniqueFd {
 public:
  UniqueFd() noexcept = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    UniqueFd old(std::exchange(fd_, other.release()));
    return *this;
  }
  ~UniqueFd();

  explicit operator bool() const noexcept { return fd_ >= 0; }
  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

/// Is `fd`, just opened, one of the last that this process may open? Descriptors have the lowest number that is free,
/// so its number says it. Then payloads are kept without one: see Segment.
bool is_scarce(int fd) noexcept;

/// Throws std::system_error with `errno` and `what`.
[[noreturn]] void throw_errno(const char* what);

/// An anonymous file in memory of `size` bytes. @throws std::system_error
UniqueFd make_memfd(const char* name, std::size_t size);
/// Maps `size` bytes of it from `offset` (whole pages) on, shared. @throws std::system_error
std::byte* map_shared(int fd, std::size_t size, bool writable, int extra_flags = 0, std::uint64_t offset = 0);
/// A connected pair of SEQPACKET sockets that neither block nor survive exec. @throws std::system_error
std::pair<UniqueFd, UniqueFd> make_socket_pair();

inline constexpr std::size_t max_descriptors = 2;  // in one message

enum class Sent { yes, full, closed };
/// Sends one message with descriptors (at most `max_descriptors`), without blocking. `full`: no room in the socket, or
/// too many descriptors of this user under way. @throws std::system_error
Sent send_message(int socket, std::span<const std::byte> message, std::span<const int> descriptors = {});

enum class Received { yes, empty, closed, descriptors_lost };
/// Takes one message of exactly `message.size()` bytes with exactly `descriptors.size()` descriptors, without blocking.
/// `descriptors_lost`: it came, but this process could not open all of its descriptors; those it could are closed
/// again.
/// @throws std::system_error, also (EPROTO) if the message has another form
Received receive_message(int socket, std::span<std::byte> message, std::span<int> descriptors = {});

}  // namespace rankpool::link
