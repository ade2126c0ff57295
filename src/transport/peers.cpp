#include "transport/peers.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <type_traits>
#include <utility>

#include "transport/mpi_check.hpp"

namespace rankpool::transport {

static_assert(std::is_trivially_copyable_v<Hello> && std::is_trivially_copyable_v<LineAddress>);

namespace {

constexpr auto connect_limit = std::chrono::seconds(3);

}  // namespace

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
  connect_hosts(comm);
}

void Peers::connect_hosts(MPI_Comm comm) {
  std::vector<bool> wanted = here_;
  wanted.flip();
  const int mine_apart = std::find(wanted.begin(), wanted.end(), true) != wanted.end() ? 1 : 0;
  int any_apart = 0;
  check(MPI_Allreduce(&mine_apart, &any_apart, 1, MPI_INT, MPI_MAX, comm), "MPI_Allreduce");
  if (any_apart == 0) return;

  const LineListener listener;
  std::vector<LineAddress> table(hellos_.size());
  check(MPI_Allgather(&listener.address(), sizeof(LineAddress), MPI_BYTE, table.data(), sizeof(LineAddress), MPI_BYTE,
                      comm),
        "MPI_Allgather");
  std::vector<link::UniqueFd> lines = connect_lines(listener, table, rank_, wanted, connect_limit);

  int missing_here = 0;
  for (std::size_t other = 0; other < lines.size(); ++other) {
    if (wanted[other] && !lines[other]) ++missing_here;
  }
  int missing = 0;
  check(MPI_Reduce(&missing_here, &missing, 1, MPI_INT, MPI_SUM, 0, comm), "MPI_Reduce");
  if (missing > 0 && rank_ == 0) {
    std::fprintf(stderr,
                 "rankpool: %d of the connections by which ranks wake those on other hosts could not be made (does a "
                 "firewall block TCP ports between the hosts?); everything works, with pauses of up to 20 ms\n",
                 missing);
  }
  if (mine_apart != 0) lifeline_ = std::make_unique<Lifeline>(std::move(lines), own_page_->bell);
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
  if (page) {
    page->bell.ring();
  } else if (lifeline_) {
    lifeline_->ring(rank);
  }
}

void Peers::remind(int rank) noexcept {
  link::RankPage& page = pages_[static_cast<std::size_t>(rank)];
  if (page) {
    page->bell.ring();
  } else if (lifeline_) {
    lifeline_->remind(rank);
  }
}

}  // namespace rankpool::transport
