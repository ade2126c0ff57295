// Frames that wait at the receiver: for the content of their segment, or behind such a frame.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "link/segment.hpp"
#include "transport/request_set.hpp"
#include "transport/transport.hpp"
#include "wire/header.hpp"

namespace rankpool::transport {

/// Per source a queue of frames; a frame leaves it when its content is complete and all before it have left. So a
/// copied segment delays the frames of its own source only.
class Backlog {
 public:
  Backlog(MPI_Comm comm, int ranks);

  /// Must frames from this rank be held back?
  bool holds(int source) const { return !sources_[static_cast<std::size_t>(source)].frames.empty(); }
  /// Holds a complete frame back.
  void hold(int source, const wire::Header& head, std::span<const std::byte> body, link::Slice slice);
  /// Holds a frame whose content (head.segment bytes) comes as bulk, and makes the segment for it.
  void expect(int source, const wire::Header& head, std::span<const std::byte> body);

  /// Receives content and delivers what is complete. True if anything moved. @throws MpiError
  bool progress(FrameSink& sink);
  /// Drops the frames of that rank. May be called from within the sink.
  void lose(int rank);
  bool idle() const noexcept { return active_.empty(); }

 private:
  struct Frame {
    wire::Header head;
    std::vector<std::byte> body;
    link::Slice slice;
    std::uint64_t posted = 0;   // bytes that have a receive
    std::uint64_t missing = 0;  // bytes that have not arrived
  };
  struct Source {
    std::deque<Frame> frames;
    std::size_t next = 0;  // the first frame that may still need receives
    int under_way = 0;
  };
  struct Chunk {
    int source;
    Frame* frame;  // a deque never moves its elements
    int bytes;
  };

  void push(int source, Frame frame);
  bool post(int source);
  bool deliver(Source& source, FrameSink& sink);
  void arrived(const Chunk& chunk, const MPI_Status& status);

  MPI_Comm comm_;
  std::vector<Source> sources_;
  std::vector<int> active_;
  RequestSet<Chunk> chunks_;
};

}  // namespace rankpool::transport
