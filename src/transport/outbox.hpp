// Packets on their way out.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <deque>
#include <vector>

#include "transport/packet.hpp"
#include "transport/request_set.hpp"

namespace rankpool::transport {

/// Per destination a queue of packets, the last of which is being filled. A few are under way at a time; while they
/// are, what is sent gathers in the queue, so the busier the receiver, the larger the packets.
class Outbox {
 public:
  Outbox(MPI_Comm comm, int ranks);

  /// The packet for `to` that has room for a record of this size. It leaves at the next `progress`.
  Packet& with_room(int to, std::size_t record);

  /// Starts what may start and collects what has left. Calls `ring(rank, started)` once for each rank that has
  /// something to take: also if nothing was started, while a transfer that needs the receiver's help is unfinished,
  /// since it may have gone to sleep.
  template <class Ring>
  bool progress(Ring&& ring) {
    if (active_.empty()) return false;
    bool moved = collect();
    for (const int rank : active_) {
      const bool started = start(rank);
      ring(rank, started);
      moved |= started;
    }
    return moved;
  }

  /// Nothing queued, nothing under way.
  bool idle() const noexcept { return active_.empty(); }

 private:
  struct Destination {
    std::deque<Packet> waiting;
    int under_way = 0;
    bool active = false;  // listed in active_
  };
  struct Sent {
    int to;
    Packet packet;
  };

  bool start(int to);
  bool collect();
  Packet fresh_packet();

  MPI_Comm comm_;
  std::vector<Destination> destinations_;
  std::vector<int> active_;
  RequestSet<Sent> sent_;
  std::vector<Packet> spare_;
};

}  // namespace rankpool::transport
