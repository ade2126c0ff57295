// What is known of all ranks from the start on, and who of them lives.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "link/rank_page.hpp"
#include "transport/lifeline.hpp"
#include "transport/transport.hpp"

namespace rankpool::transport {

class Peers {
 public:
  /// Exchanges the hellos, finds out with whom memory can be shared, and makes the lines: to the ranks of other hosts,
  /// with recovery to all. Collective. @throws MpiError
  Peers(MPI_Comm comm, const Hello& mine, link::RankPage& page);

  int rank() const noexcept { return rank_; }
  int size() const noexcept { return static_cast<int>(hellos_.size()); }
  const Hello& hello(int rank) const { return hellos_.at(static_cast<std::size_t>(rank)); }
  bool same_host(int rank) const { return here_.at(static_cast<std::size_t>(rank)); }
  /// Must the job outlive a lost rank?
  bool recovery() const noexcept { return hellos_.front().recovery != 0; }
  int busy_workers_here() const noexcept;
  /// Wakes the engine of that rank if it sleeps: something new has left for it.
  void ring(int rank) noexcept;
  /// The same for something it was rung for already and that needs its help; between hosts not at every call.
  void remind(int rank) noexcept;

  /// To be called at least every few seconds with recovery, or this process is taken to hang.
  void alive() noexcept {
    if (lifeline_) lifeline_->alive();
  }
  /// Has a rank been lost since the last `losses`? The bell was rung then.
  bool news() const noexcept { return lifeline_ && lifeline_->news(); }
  std::vector<Lifeline::Loss> losses();
  /// Nothing is known to the contrary.
  bool up(int rank) const noexcept { return !lifeline_ || lifeline_->up(rank); }
  /// Has that rank of this host, which has just failed to answer, ended? Waits a little for certainty.
  bool has_ended(int rank) const;
  std::optional<int> ended_neighbour() const;
  void give_up(int rank) noexcept;
  /// This rank's work is done: its end is no loss, and nobody need hear of others' ends either.
  void hang_up() noexcept;

 private:
  std::vector<LineEnd> watch_neighbours(MPI_Comm comm, const Hello& mine);
  void connect(MPI_Comm comm, std::vector<LineEnd>& ends);

  link::RankPage& own_page_;
  int rank_ = 0;
  std::vector<Hello> hellos_;
  std::vector<link::RankPage> pages_;  // empty for other hosts and for this rank
  std::vector<bool> here_;
  std::unique_ptr<Lifeline> lifeline_;  // only if there is a line
};

}  // namespace rankpool::transport
