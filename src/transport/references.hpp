// Segments that go to another rank of the same host without a copy: the receiver opens the sender's descriptor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "link/segment.hpp"
#include "transport/packet.hpp"

namespace rankpool::transport {

/// Keeps the slices that were sent by reference open until the receiver has opened them.
class References {
 public:
  explicit References(int ranks);

  SegmentReference add(int to, link::Slice slice);
  /// Receivers open in the order of sending. @throws MpiError if another token is due
  void acknowledge(int from, std::uint64_t token);
  /// That rank opens nothing any more.
  void lose(int rank);
  bool empty() const noexcept { return open_ == 0; }

 private:
  struct Sent {
    std::uint64_t token;
    link::Slice slice;
  };
  std::vector<std::deque<Sent>> sent_;
  std::uint64_t last_token_ = 0;
  std::size_t open_ = 0;
};

/// Opens the segment in process `pid` of this host. @throws MpiError
std::shared_ptr<link::Segment> open_reference(int source, int pid, const SegmentReference& reference);

}  // namespace rankpool::transport
