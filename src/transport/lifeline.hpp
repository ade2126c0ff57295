// TCP connections between the ranks of different hosts: today doorbells for engines that sleep.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "link/bell.hpp"
#include "link/descriptors.hpp"

namespace rankpool::transport {

/// Where a rank can be reached, for all others to know.
struct LineAddress {
  std::uint64_t key = 0;                ///< random: tells a rank of this job from whoever else connects
  std::array<std::uint32_t, 4> ipv4{};  ///< of its host, in network order, the loopback last; 0: none
  std::uint16_t port = 0;               ///< in host order; 0: this rank has no listener
};

/// A rank's listening socket, open while the lines are made.
class LineListener {
 public:
  /// Listens on all interfaces. A rank that cannot (no descriptors, no network) gets a listener without a port.
  LineListener() noexcept;

  const LineAddress& address() const noexcept { return address_; }
  int fd() const noexcept { return fd_.get(); }

 private:
  link::UniqueFd fd_;
  LineAddress address_;
};

/// Makes the lines of rank `mine`: to every rank of `table` that `wanted` names (wanted[r]: a line between r and `mine`
/// is due, at both of them). The higher rank connects, both prove that they know the other's key. All ranks at the same
/// time; gives up what is not there after `limit`. Descriptors by rank, empty ones where there is no line.
std::vector<link::UniqueFd> connect_lines(const LineListener& listener, const std::vector<LineAddress>& table, int mine,
                                          const std::vector<bool>& wanted, std::chrono::milliseconds limit);

/// Keeps the lines. A thread, which no MPI call is made from, sleeps on them and passes what comes on to the bell.
class Lifeline {
 public:
  /// `bell` must outlive this. @throws std::system_error
  Lifeline(std::vector<link::UniqueFd> lines, link::Bell& bell);
  ~Lifeline();
  Lifeline(const Lifeline&) = delete;
  Lifeline& operator=(const Lifeline&) = delete;

  /// Rings the bell of that rank; does nothing if there is no line. One system call.
  void ring(int rank) noexcept;
  /// The same, unless it was rung within the last millisecond.
  void remind(int rank) noexcept;

 private:
  struct Line {
    link::UniqueFd fd;
    std::chrono::steady_clock::time_point rung{};
  };

  void watch() noexcept;

  std::vector<Line> lines_;
  link::Bell& bell_;
  link::UniqueFd stop_;
  std::thread watcher_;
};

}  // namespace rankpool::transport
