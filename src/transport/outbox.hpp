// Packets on their way out.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "transport/packet.hpp"
#include "transport/request_set.hpp"

namespace rankpool::transport {

/// Towards one rank.
inline constexpr int max_packets_under_way = 8;

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

  /// Starts nothing more towards that rank; what is queued waits. To be followed by `lose`.
  void hold(int rank);
  /// Drops what is queued for that rank and gives up what is under way.
  void lose(int rank);

  /// Nothing queued, nothing under way, but for ranks that are held or lost.
  bool idle() const noexcept { return active_.empty(); }

 private:
  struct Destination {
    std::deque<Packet> waiting;
    std::uint64_t started = 0;  // packets ever
    int under_way = 0;
    bool active = false;  // listed in active_
    bool held = false;
  };
  struct Sent {
    int to;
    Packet packet;
  };

  bool start(int to);
  bool collect();
  void find_active();
  Packet fresh_packet();

  MPI_Comm comm_;
  std::vector<Destination> destinations_;
  std::vector<int> active_;
  RequestSet<Sent> sent_;
  std::vector<Packet> spare_;
};

}  // namespace rankpool::transport
