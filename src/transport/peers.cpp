#include "transport/peers.hpp"

#include <cstdint>
#include <type_traits>

#include "transport/mpi_check.hpp"

namespace rankpool::transport {

static_assert(std::is_trivially_copyable_v<Hello>);

Peers::Peers(MPI_Comm comm, const Hello& mine, link::RankPage& page) : own_page_(page) {
  int size = 0;
  check(MPI_Comm_rank(comm, &rank_), "MPI_Comm_rank");
  check(MPI_Comm_size(comm, &size), "MPI_Comm_size");
  const auto ranks = static_cast<std::size_t>(size);
  const auto me = static_cast<std::size_t>(rank_);
  hellos_.resize(ranks);
  check(MPI_Allgather(&mine, sizeof mine, MPI_BYTE, hellos_.data(), sizeof mine, MPI_BYTE, comm), "MPI_Allgather");

  // Two ranks with one host name need not see each other (containers, process namespaces): each tries to map the page
  // of the other, and they count as neighbours only if both could.
  pages_.resize(ranks);
  std::vector<std::uint8_t> i_see(ranks), sees_me(ranks);
  for (std::size_t other = 0; other < ranks; ++other) {
    const Hello& hello = hellos_[other];
    if (other != me && hello.host == mine.host) {
      pages_[other] = link::RankPage::open_peer(hello.pid, hello.page_fd, hello.page_magic);
    }
    i_see[other] = other == me || pages_[other] ? 1 : 0;
  }
  check(MPI_Alltoall(i_see.data(), 1, MPI_UINT8_T, sees_me.data(), 1, MPI_UINT8_T, comm), "MPI_Alltoall");
  here_.resize(ranks);
  for (std::size_t other = 0; other < ranks; ++other) {
    here_[other] = i_see[other] != 0 && sees_me[other] != 0;
    if (!here_[other]) pages_[other] = link::RankPage();
  }
}

int Peers::busy_workers_here() const noexcept {
  int busy = own_page_->busy_workers.load(std::memory_order_relaxed);
  for (const link::RankPage& page : pages_) {
    if (page) busy += page->busy_workers.load(std::memory_order_relaxed);
  }
  return busy;
}

void Peers::ring(int rank) noexcept {
  link::RankPage& page = pages_[static_cast<std::size_t>(rank)];
  if (page) page->bell.ring();
}

}  // namespace rankpool::transport
