// What is known of all ranks from the start on.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "link/rank_page.hpp"
#include "transport/lifeline.hpp"
#include "transport/transport.hpp"

namespace rankpool::transport {

class Peers {
 public:
  /// Exchanges the hellos and finds out with whom memory can be shared: collective. @throws MpiError
  Peers(MPI_Comm comm, const Hello& mine, link::RankPage& page);

  int rank() const noexcept { return rank_; }
  int size() const noexcept { return static_cast<int>(hellos_.size()); }
  const Hello& hello(int rank) const { return hellos_.at(static_cast<std::size_t>(rank)); }
  bool same_host(int rank) const { return here_.at(static_cast<std::size_t>(rank)); }
  int busy_workers_here() const noexcept;
  /// Wakes the engine of that rank if it sleeps: something new has left for it.
  void ring(int rank) noexcept;
  /// The same for something it was rung for already and that needs its help; between hosts not at every call.
  void remind(int rank) noexcept;
  /// The end: other hosts cannot be rung any more, nor can they ring here.
  void hang_up() noexcept { lifeline_.reset(); }

 private:
  void connect_hosts(MPI_Comm comm);

  link::RankPage& own_page_;
  int rank_ = 0;
  std::vector<Hello> hellos_;
  std::vector<link::RankPage> pages_;  // empty for other hosts and for this rank
  std::vector<bool> here_;
  std::unique_ptr<Lifeline> lifeline_;  // only if the job spans hosts
};

}  // namespace rankpool::transport
