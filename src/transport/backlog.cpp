#include "transport/backlog.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include <rankpool/errors.hpp>

#include "transport/bulk_sender.hpp"
#include "transport/leak.hpp"
#include "transport/mpi_check.hpp"
#include "transport/tags.hpp"

namespace rankpool::transport {

Backlog::Backlog(MPI_Comm comm, int ranks) : comm_(comm), sources_(static_cast<std::size_t>(ranks)) {}

void Backlog::push(int source, Frame frame) {
  Source& queue = sources_.at(static_cast<std::size_t>(source));
  if (queue.frames.empty()) active_.push_back(source);
  queue.frames.push_back(std::move(frame));
}

void Backlog::hold(int source, const wire::Header& head, std::span<const std::byte> body, link::Slice slice) {
  push(source, Frame{head, {body.begin(), body.end()}, std::move(slice)});
}

void Backlog::expect(int source, const wire::Header& head, std::span<const std::byte> body) {
  link::Slice slice{link::Segment::create(head.segment), 0, head.segment};
  push(source, Frame{head, {body.begin(), body.end()}, std::move(slice), 0, head.segment});
  post(source);
}

bool Backlog::post(int source) {
  Source& queue = sources_[static_cast<std::size_t>(source)];
  bool moved = false;
  while (queue.next < queue.frames.size() && queue.under_way < chunks_under_way) {
    Frame& frame = queue.frames[queue.next];
    if (frame.missing == 0 || frame.posted == frame.slice.length) {
      ++queue.next;
      continue;
    }
    const std::uint64_t bytes = std::min(chunk_bytes, frame.slice.length - frame.posted);
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Irecv(frame.slice.segment->writable_data() + frame.posted, static_cast<int>(bytes), MPI_BYTE, source,
                    bulk_tag, comm_, &request),
          "MPI_Irecv");
    chunks_.add(request, Chunk{source, &frame, static_cast<int>(bytes)});
    frame.posted += bytes;
    ++queue.under_way;
    moved = true;
  }
  return moved;
}

void Backlog::arrived(const Chunk& chunk, const MPI_Status& status) {
  int bytes = 0;
  check(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count");
  if (bytes != chunk.bytes) {
    throw MpiError("rank " + std::to_string(chunk.source) + " sent " + std::to_string(bytes) +
                   " bytes of a segment where " + std::to_string(chunk.bytes) +
                   " were due; do all ranks run the same build of the program?");
  }
  chunk.frame->missing -= static_cast<std::uint64_t>(bytes);
  --sources_[static_cast<std::size_t>(chunk.source)].under_way;
}

bool Backlog::deliver(Source& source, FrameSink& sink) {
  bool moved = false;
  while (!source.frames.empty() && source.frames.front().missing == 0) {
    Frame frame = std::move(source.frames.front());
    source.frames.pop_front();
    if (source.next > 0) --source.next;
    sink.on_frame(frame.head, frame.body, std::move(frame.slice));
    moved = true;
  }
  return moved;
}

void Backlog::lose(int rank) {
  Source source = std::exchange(sources_.at(static_cast<std::size_t>(rank)), {});
  std::erase_if(source.frames, [](const Frame& frame) { return frame.posted == 0 || frame.missing == 0; });
  leak(std::move(source.frames));  // MPI writes into their segments
  static_cast<void>(chunks_.abandon([rank](const Chunk& chunk) { return chunk.source == rank; }));
}

bool Backlog::progress(FrameSink& sink) {
  if (active_.empty()) return false;
  bool moved = chunks_.collect([this](const Chunk& chunk, const MPI_Status& status) { arrived(chunk, status); });
  for (const int rank : active_) {
    moved |= post(rank);
    moved |= deliver(sources_[static_cast<std::size_t>(rank)], sink);
  }
  std::erase_if(active_, [this](int rank) { return !holds(rank); });
  return moved;
}

}  // namespace rankpool::transport
