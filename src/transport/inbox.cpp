#include "transport/inbox.hpp"

#include "transport/mpi_check.hpp"
#include "transport/packet.hpp"
#include "transport/tags.hpp"

namespace rankpool::transport {

namespace {

constexpr std::size_t slots = 16;

}  // namespace

Inbox::Inbox(MPI_Comm comm)
    : comm_(comm), memory_(new std::byte[slots * packet_bytes]), requests_(slots, MPI_REQUEST_NULL) {
  for (std::size_t slot = 0; slot < slots; ++slot) post(slot);
}

std::byte* Inbox::memory(std::size_t slot) const noexcept { return memory_.get() + slot * packet_bytes; }

void Inbox::post(std::size_t slot) {
  check(MPI_Irecv(memory(slot), static_cast<int>(packet_bytes), MPI_BYTE, MPI_ANY_SOURCE, packet_tag, comm_,
                  &requests_[slot]),
        "MPI_Irecv");
}

std::optional<Inbox::Arrival> Inbox::take() {
  int arrived = 0;
  MPI_Status status;
  check(MPI_Test(&requests_[oldest_], &arrived, &status), "MPI_Test");
  if (arrived == 0) return std::nullopt;
  int bytes = 0;
  check(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count");
  return Arrival{status.MPI_SOURCE, {memory(oldest_), static_cast<std::size_t>(bytes)}};
}

void Inbox::recycle() {
  post(oldest_);
  oldest_ = (oldest_ + 1) % slots;
}

bool Inbox::pending() {
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
