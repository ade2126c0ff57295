// What becomes of the job when a rank dies.
#pragma once

#include <chrono>
#include <set>
#include <vector>

#include "engine/router.hpp"
#include "engine/windows.hpp"
#include "wire/messages.hpp"

namespace rankpool::engine {

/// Decides, and says so: rank 0 ends the job, or tells all engines (rank_lost), itself too, that it goes on without
/// that rank. Whoever loses rank 0 ends.
class RankDeaths {
 public:
  using Clock = std::chrono::steady_clock;

  RankDeaths(Router& router, Windows& windows) : router_(router), windows_(windows) {}

  /// The transport has no more connection with that rank. Does not return if that is the end of this process.
  void on_rank_down(int rank, bool silent);
  /// Every engine of the job knows: frees what processes of the rank held in the window of this one.
  void lost(int rank);

  /// A process of the rank may live a moment longer than its engine, so what they hold is freed once more, for a while.
  bool keeps_time() const noexcept { return !recent_.empty(); }
  /// Does that if it is due; returns when it must be called again.
  Clock::time_point look();

 private:
  struct Recent {
    int rank;
    Clock::duration pause;
    Clock::time_point next;
  };

  [[noreturn]] void end_job(int rank, bool silent) const;

  Router& router_;
  Windows& windows_;
  std::set<int> down_;  // at rank 0
  std::vector<Recent> recent_;
};

}  // namespace rankpool::engine
