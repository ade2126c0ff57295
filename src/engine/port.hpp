// The engine's end of a link, which never makes the engine wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "link/link.hpp"

namespace rankpool::engine {

/// Sends at once while the ring has room, else keeps frames in order until `flush` finds room.
class Port {
 public:
  explicit Port(link::LinkEnd end) : end_(std::move(end)) {}

  void send(const wire::Header& head, std::span<const std::byte> first, std::span<const std::byte> second,
            const link::Slice& slice);
  /// Sends what was kept, as far as there is room, then wakes the user if anything was sent that it waits for, or if
  /// its ring is full. True if it was.
  bool flush();
  /// Hands at most `limit` frames to `handler(Incoming&)`. True if there was one.
  template <class Handler>
  bool receive(Handler&& handler, int limit) {
    link::Incoming in;
    int count = 0;
    for (; count < limit && end_.receive(in); ++count) {
      handler(in);
      end_.release();
    }
    if (count != 0) end_.publish();
    return count != 0;
  }
  bool pending() const noexcept { return end_.pending(); }
  link::LeaseTable& leases() noexcept { return end_.leases(); }
  link::LeaseStates lease_states() noexcept;
  link::TaskWords& tasks() noexcept { return end_.tasks(); }
  /// See LinkEnd.
  int user() const noexcept { return end_.user(); }

 private:
  struct Kept {
    wire::Header head;
    std::vector<std::byte> body;
    link::Slice slice;
  };

  link::LinkEnd end_;
  std::deque<Kept> kept_;
  bool unrung_ = false;
};

}  // namespace rankpool::engine
