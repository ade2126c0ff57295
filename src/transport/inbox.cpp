#include "transport/inbox.hpp"

#include "transport/mpi_check.hpp"
#include "transport/packet.hpp"
#include "transport/tags.hpp"

namespace rankpool::transport {

namespace {

constexpr std::size_t slots = 16;  // so many packets a look at most: the engine has other things to do

}  // namespace

Inbox::Inbox(MPI_Comm comm)
    : comm_(comm),
      memory_(new std::byte[slots * packet_bytes]),
      requests_(slots, MPI_REQUEST_NULL),
      statuses_(slots),
      indices_(slots),
      found_(slots) {
  for (std::size_t slot = 0; slot < slots; ++slot) post(slot);
}

std::byte* Inbox::memory(std::size_t slot) const noexcept { return memory_.get() + slot * packet_bytes; }

void Inbox::post(std::size_t slot) {
  found_[slot].here = false;
  check(MPI_Irecv(memory(slot), static_cast<int>(packet_bytes), MPI_BYTE, MPI_ANY_SOURCE, packet_tag, comm_,
                  &requests_[slot]),
        "MPI_Irecv");
}

void Inbox::look() {
  int count = 0;
  const int code = MPI_Testsome(static_cast<int>(slots), requests_.data(), &count, indices_.data(), statuses_.data());
  check_some(code, count, statuses_.data());
  for (int i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    Found& found = found_[static_cast<std::size_t>(indices_[at])];
    check(MPI_Get_count(&statuses_[at], MPI_BYTE, &found.bytes), "MPI_Get_count");
    found.source = statuses_[at].MPI_SOURCE;
    found.here = true;
  }
}

std::optional<Inbox::Arrival> Inbox::take() const noexcept {
  const Found& found = found_[oldest_];
  if (!found.here) return std::nullopt;
  return Arrival{found.source, {memory(oldest_), static_cast<std::size_t>(found.bytes)}};
}

void Inbox::recycle() {
  post(oldest_);
  oldest_ = (oldest_ + 1) % slots;
}

bool Inbox::pending() {
  if (found_[oldest_].here) return true;
  int arrived = 0;
  check(MPI_Request_get_status(requests_[oldest_], &arrived, MPI_STATUS_IGNORE), "MPI_Request_get_status");
  return arrived != 0;
}

void Inbox::close() {
  for (MPI_Request& request : requests_) {
    if (request == MPI_REQUEST_NULL) continue;
    check(MPI_Cancel(&request), "MPI_Cancel");
    check(MPI_Wait(&request, MPI_STATUS_IGNORE), "MPI_Wait");
  }
}

}  // namespace rankpool::transport
