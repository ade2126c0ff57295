#include "transport/outbox.hpp"

#include <utility>

#include "transport/leak.hpp"
#include "transport/mpi_check.hpp"
#include "transport/tags.hpp"

namespace rankpool::transport {

namespace {

constexpr std::size_t max_spare = 64;  // buffers kept for later

}  // namespace

Outbox::Outbox(MPI_Comm comm, int ranks) : comm_(comm), destinations_(static_cast<std::size_t>(ranks)) {}

Packet Outbox::fresh_packet() {
  if (spare_.empty()) return Packet();
  Packet packet = std::move(spare_.back());
  spare_.pop_back();
  packet.clear();
  return packet;
}

Packet& Outbox::with_room(int to, std::size_t record) {
  Destination& destination = destinations_.at(static_cast<std::size_t>(to));
  if (destination.waiting.empty() || !destination.waiting.back().fits(record)) {
    destination.waiting.push_back(fresh_packet());
  }
  if (!destination.active && !destination.held) {
    destination.active = true;
    active_.push_back(to);
  }
  return destination.waiting.back();
}

bool Outbox::start(int to) {
  Destination& destination = destinations_[static_cast<std::size_t>(to)];
  bool moved = false;
  while (!destination.waiting.empty() && destination.under_way < max_packets_under_way) {
    Packet packet = std::move(destination.waiting.front());
    destination.waiting.pop_front();
    packet.set_number(destination.started++);
    const auto bytes = packet.bytes();
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Isend(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, to, packet_tag, comm_, &request),
          "MPI_Isend");
    sent_.add(request, Sent{to, std::move(packet)});
    ++destination.under_way;
    moved = true;
  }
  return moved;
}

bool Outbox::collect() {
  const bool moved = sent_.collect([this](Sent& sent, const MPI_Status&) {
    --destinations_[static_cast<std::size_t>(sent.to)].under_way;
    if (spare_.size() < max_spare) spare_.push_back(std::move(sent.packet));
  });
  if (moved) find_active();
  return moved;
}

void Outbox::find_active() {
  std::erase_if(active_, [this](int rank) {
    Destination& destination = destinations_[static_cast<std::size_t>(rank)];
    destination.active = !destination.held && (destination.under_way > 0 || !destination.waiting.empty());
    return !destination.active;
  });
}

void Outbox::hold(int rank) {
  destinations_.at(static_cast<std::size_t>(rank)).held = true;
  find_active();
}

void Outbox::lose(int rank) {
  hold(rank);
  destinations_[static_cast<std::size_t>(rank)].waiting.clear();
  leak(sent_.abandon([rank](const Sent& sent) { return sent.to == rank; }));
}

}  // namespace rankpool::transport
