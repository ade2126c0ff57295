// Segments on their way to ranks that cannot map them.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "link/segment.hpp"
#include "transport/request_set.hpp"

namespace rankpool::transport {

/// The content of a segment travels in chunks of this size, the last one shorter, straight from and into the mappings.
inline constexpr std::uint64_t chunk_bytes = 2 * 1024 * 1024;
/// Chunks under way between a pair of ranks: enough to keep the line busy, few enough to bound what a lost peer leaves.
inline constexpr int chunks_under_way = 4;

class BulkSender {
 public:
  BulkSender(MPI_Comm comm, int ranks);

  /// The slices of one destination go in the order of these calls.
  void add(int to, link::Slice slice);
  bool progress();
  /// Starts nothing more towards that rank; what is queued waits. To be followed by `lose`.
  void hold(int rank);
  /// Drops what is queued for that rank and gives up what is under way.
  void lose(int rank);
  /// Nothing queued, nothing under way, but for ranks that are held or lost.
  bool idle() const noexcept { return active_.empty(); }

 private:
  struct Outgoing {
    link::Slice slice;
    std::uint64_t started = 0;  // bytes given to MPI
  };
  struct Destination {
    std::deque<Outgoing> waiting;
    int under_way = 0;
    bool held = false;
  };
  struct Chunk {
    int to;
    std::shared_ptr<link::Segment> segment;  // keeps the mapping until MPI has read it
  };

  bool start(int to);
  void find_active();

  MPI_Comm comm_;
  std::vector<Destination> destinations_;
  std::vector<int> active_;
  RequestSet<Chunk> chunks_;
};

}  // namespace rankpool::transport
