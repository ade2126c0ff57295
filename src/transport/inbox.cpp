#include "transport/inbox.hpp"

#include <algorithm>

#include "transport/mpi_check.hpp"
#include "transport/outbox.hpp"
#include "transport/packet.hpp"
#include "transport/tags.hpp"

namespace rankpool::transport {

namespace {

constexpr std::size_t slots = 16;  // so many packets a look at most: the engine has other things to do

}  // namespace

Inbox::Inbox(MPI_Comm comm, int ranks) : comm_(comm), sources_(static_cast<std::size_t>(ranks)) { add_slots(slots); }

void Inbox::add_slots(std::size_t count) {
  const std::size_t first = requests_.size();
  const std::size_t all = first + count;
  requests_.resize(all, MPI_REQUEST_NULL);
  found_.resize(all);
  statuses_.resize(all);
  indices_.resize(all);
  for (std::size_t slot = first; slot < all; ++slot) {
    memory_.emplace_back(new std::byte[packet_bytes]);
    order_.push_back(slot);
    post(slot);
  }
}

void Inbox::post(std::size_t slot) {
  found_[slot].here = false;
  check(MPI_Irecv(memory_[slot].get(), static_cast<int>(packet_bytes), MPI_BYTE, MPI_ANY_SOURCE, packet_tag, comm_,
                  &requests_[slot]),
        "MPI_Irecv");
}

void Inbox::look() {
  int count = 0;
  const int code =
      MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(), &count, indices_.data(), statuses_.data());
  check_some(code, count, statuses_.data());
  for (int i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const auto slot = static_cast<std::size_t>(indices_[at]);
    Found& found = found_[slot];
    check(MPI_Get_count(&statuses_[at], MPI_BYTE, &found.bytes), "MPI_Get_count");
    found.source = statuses_[at].MPI_SOURCE;
    found.number = packet_number({memory_[slot].get(), static_cast<std::size_t>(found.bytes)});
    found.here = true;
  }
}

bool Inbox::is_next(const Found& found) const {
  if (!found.here) return false;
  const Source& source = sources_[static_cast<std::size_t>(found.source)];
  return source.lost || found.number == source.next;
}

std::optional<Inbox::Arrival> Inbox::take() {
  // Nearly always the first: MPI matches receives in the order they were posted.
  for (taken_ = 0; taken_ < order_.size(); ++taken_) {
    const std::size_t slot = order_[taken_];
    const Found& found = found_[slot];
    if (!is_next(found)) continue;
    ++sources_[static_cast<std::size_t>(found.source)].next;
    return Arrival{found.source, {memory_[slot].get(), static_cast<std::size_t>(found.bytes)}};
  }
  return std::nullopt;
}

void Inbox::recycle() {
  const auto taken = order_.begin() + static_cast<std::ptrdiff_t>(taken_);
  post(*taken);
  std::rotate(taken, taken + 1, order_.end());
}

bool Inbox::pending() {
  if (lost_any_) {
    look();
    return std::any_of(found_.begin(), found_.end(), [this](const Found& found) { return is_next(found); });
  }
  const std::size_t oldest = order_.front();
  if (found_[oldest].here) return true;
  int arrived = 0;
  check(MPI_Request_get_status(requests_[oldest], &arrived, MPI_STATUS_IGNORE), "MPI_Request_get_status");
  return arrived != 0;
}

void Inbox::lose(int rank) {
  sources_.at(static_cast<std::size_t>(rank)).lost = true;
  lost_any_ = true;
  add_slots(max_packets_under_way);
}

void Inbox::close() {
  for (MPI_Request& request : requests_) {
    if (request == MPI_REQUEST_NULL) continue;
    check(MPI_Cancel(&request), "MPI_Cancel");
    check(MPI_Wait(&request, MPI_STATUS_IGNORE), "MPI_Wait");
  }
}

}  // namespace rankpool::transport
