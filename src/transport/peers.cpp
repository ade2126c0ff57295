#include "transport/peers.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <type_traits>
#include <utility>

#include "transport/mpi_check.hpp"

namespace rankpool::transport {

static_assert(std::is_trivially_copyable_v<Hello> && std::is_trivially_copyable_v<LineAddress>);

namespace {

constexpr auto connect_limit = std::chrono::seconds(3);
constexpr int beats_a_limit = 6;  // several may be late before a rank counts as silent
// For a turn of the engine, after a loss: Open MPI can lock itself up in a send over TCP whose receiver has died.
constexpr auto stuck_limit = std::chrono::seconds(10);
constexpr int patience_ms = 200;  // with a process that has closed its files and is about to end

// What a rank can find out about another of its host.
constexpr std::uint8_t sees = 1;     // maps its page
constexpr std::uint8_t watches = 2;  // has its process as a descriptor

Pulse pulse_of(const Hello& first, int rank, const Hello& mine) {
  Pulse pulse;
  if (first.recovery != 0) pulse.stuck = stuck_limit;
  pulse.last_words = "rankpool: rank " + std::to_string(rank) + " on host " + mine.host.data() +
                     " hangs inside MPI since another rank was lost, so it ends too\n";
  pulse.silence = std::chrono::milliseconds(first.silence_ms);
  if (first.silence_ms > 0) pulse.interval = std::max(pulse.silence / beats_a_limit, std::chrono::milliseconds(1));
  return pulse;
}

}  // namespace

Peers::Peers(MPI_Comm comm, const Hello& mine, link::RankPage& page) : own_page_(page) {
  int size = 0;
  check(MPI_Comm_rank(comm, &rank_), "MPI_Comm_rank");
  check(MPI_Comm_size(comm, &size), "MPI_Comm_size");
  hellos_.resize(static_cast<std::size_t>(size));
  check(MPI_Allgather(&mine, sizeof mine, MPI_BYTE, hellos_.data(), sizeof mine, MPI_BYTE, comm), "MPI_Allgather");
  std::vector<LineEnd> ends = watch_neighbours(comm, mine);
  connect(comm, ends);
  if (std::any_of(ends.begin(), ends.end(), [](const LineEnd& end) { return end.socket || end.process; })) {
    lifeline_ = std::make_unique<Lifeline>(std::move(ends), own_page_->bell, pulse_of(hellos_.front(), rank_, mine));
  }
}

/// Two ranks with one host name need not see each other (containers, process namespaces): each tries to map the page
/// of the other, and they count as neighbours only if both could.
std::vector<LineEnd> Peers::watch_neighbours(MPI_Comm comm, const Hello& mine) {
  const std::size_t ranks = hellos_.size();
  const auto me = static_cast<std::size_t>(rank_);
  std::vector<LineEnd> ends(ranks);
  pages_.resize(ranks);
  std::vector<std::uint8_t> here(ranks), there(ranks);
  for (std::size_t other = 0; other < ranks; ++other) {
    const Hello& hello = hellos_[other];
    if (other == me) {
      here[other] = sees | watches;
      continue;
    }
    if (hello.host == mine.host) {
      pages_[other] = link::RankPage::open_peer(hello.pid, hello.page_fd, hello.page_magic);
    }
    if (!pages_[other]) continue;
    here[other] = sees;
    if (recovery()) ends[other].process = watch_process(hello.pid);
    if (ends[other].process) here[other] |= watches;
  }
  check(MPI_Alltoall(here.data(), 1, MPI_UINT8_T, there.data(), 1, MPI_UINT8_T, comm), "MPI_Alltoall");
  here_.resize(ranks);
  for (std::size_t other = 0; other < ranks; ++other) {
    const std::uint8_t both = here[other] & there[other];
    here_[other] = (both & sees) != 0;
    if (!here_[other]) pages_[other] = link::RankPage();
    if ((both & watches) == 0) ends[other].process = link::UniqueFd();
    if (pages_[other]) ends[other].page = &*pages_[other];
  }
  return ends;
}

/// Connections to all whose process cannot be watched, if it must be, or who cannot be rung in shared memory.
void Peers::connect(MPI_Comm comm, std::vector<LineEnd>& ends) {
  std::vector<bool> wanted(ends.size());
  for (std::size_t other = 0; other < ends.size(); ++other) {
    wanted[other] = !here_[other] || (recovery() && static_cast<int>(other) != rank_ && !ends[other].process);
  }
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
    ends[other].socket = std::move(lines[other]);
    // Only rank 0 judges the others, and each of them judges rank 0: two ranks that cannot hear each other, but rank 0,
    // wait for the network to mend.
    ends[other].judged = rank_ == 0 || other == 0;
  }
  int missing = 0;
  check(MPI_Reduce(&missing_here, &missing, 1, MPI_INT, MPI_SUM, 0, comm), "MPI_Reduce");
  if (missing > 0 && rank_ == 0) {
    std::fprintf(stderr,
                 "rankpool: %d of the connections by which ranks wake those on other hosts could not be made (does a "
                 "firewall block TCP ports between the hosts?); everything works, with pauses of up to 20 ms%s\n",
                 missing, recovery() ? ", but the loss of such a rank would not be noticed" : "");
  }
}

int Peers::busy_workers_here() const noexcept {
  int busy = own_page_->busy_workers.load(std::memory_order_relaxed);
  for (std::size_t other = 0; other < pages_.size(); ++other) {
    // What a rank that was killed wrote there last stays.
    if (pages_[other] && up(static_cast<int>(other))) {
      busy += pages_[other]->busy_workers.load(std::memory_order_relaxed);
    }
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

std::vector<Lifeline::Loss> Peers::losses() { return lifeline_ ? lifeline_->losses() : std::vector<Lifeline::Loss>(); }

namespace {

bool process_has_ended(pid_t pid, int wait_ms) {
  const link::UniqueFd process = watch_process(pid);
  if (!process) return errno == ESRCH;
  pollfd ended{process.get(), POLLIN, 0};
  return ::poll(&ended, 1, wait_ms) > 0;
}

}  // namespace

bool Peers::has_ended(int rank) const { return !up(rank) || process_has_ended(hello(rank).pid, patience_ms); }

std::optional<int> Peers::ended_neighbour() const {
  for (int rank = 0; rank < size(); ++rank)
    if (rank != rank_ && same_host(rank) && process_has_ended(hello(rank).pid, 0)) return rank;
  return std::nullopt;
}

void Peers::give_up(int rank) noexcept {
  if (lifeline_) lifeline_->give_up(rank);
}

void Peers::hang_up() noexcept {
  own_page_->leaves.store(true, std::memory_order_release);
  if (lifeline_) lifeline_->leave();
  lifeline_.reset();
}

}  // namespace rankpool::transport
