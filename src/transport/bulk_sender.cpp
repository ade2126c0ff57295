#include "transport/bulk_sender.hpp"

#include <algorithm>
#include <utility>

#include "transport/leak.hpp"
#include "transport/mpi_check.hpp"
#include "transport/tags.hpp"

namespace rankpool::transport {

BulkSender::BulkSender(MPI_Comm comm, int ranks) : comm_(comm), destinations_(static_cast<std::size_t>(ranks)) {}

void BulkSender::add(int to, link::Slice slice) {
  Destination& destination = destinations_.at(static_cast<std::size_t>(to));
  if (destination.waiting.empty() && destination.under_way == 0 && !destination.held) active_.push_back(to);
  destination.waiting.push_back({std::move(slice), 0});
}

bool BulkSender::start(int to) {
  Destination& destination = destinations_[static_cast<std::size_t>(to)];
  bool moved = false;
  while (!destination.waiting.empty() && destination.under_way < chunks_under_way) {
    Outgoing& next = destination.waiting.front();
    const std::uint64_t bytes = std::min(chunk_bytes, next.slice.length - next.started);
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Isend(next.slice.bytes().data() + next.started, static_cast<int>(bytes), MPI_BYTE, to, bulk_tag, comm_,
                    &request),
          "MPI_Isend");
    chunks_.add(request, Chunk{to, next.slice.segment});
    next.started += bytes;
    ++destination.under_way;
    if (next.started == next.slice.length) destination.waiting.pop_front();
    moved = true;
  }
  return moved;
}

bool BulkSender::progress() {
  if (active_.empty()) return false;
  bool moved = chunks_.collect(
      [this](Chunk& chunk, const MPI_Status&) { --destinations_[static_cast<std::size_t>(chunk.to)].under_way; });
  for (const int to : active_) moved |= start(to);
  find_active();
  return moved;
}

void BulkSender::find_active() {
  std::erase_if(active_, [this](int to) {
    const Destination& destination = destinations_[static_cast<std::size_t>(to)];
    return destination.held || (destination.waiting.empty() && destination.under_way == 0);
  });
}

void BulkSender::hold(int rank) {
  destinations_.at(static_cast<std::size_t>(rank)).held = true;
  find_active();
}

void BulkSender::lose(int rank) {
  hold(rank);
  destinations_[static_cast<std::size_t>(rank)].waiting.clear();
  leak(chunks_.abandon([rank](const Chunk& chunk) { return chunk.to == rank; }));
}

}  // namespace rankpool::transport
