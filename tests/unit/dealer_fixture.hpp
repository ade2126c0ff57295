// A dealer and what its tests ask of it.
#pragma once

#include "scheduler/rank_dealer.hpp"

#include <gtest/gtest.h>

#include <map>
#include <utility>
#include <vector>

namespace rankpool::scheduler {

using std::chrono::microseconds;
using std::chrono::milliseconds;

inline constexpr JobId job = 10;
inline constexpr PoolId pool = 1;

using Tasks = Run;  // testing::Test has a Run of its own

class Dealer : public testing::Test {
 protected:
  // All actions so far must be gives.
  std::vector<Give> gives() {
    std::vector<Give> result;
    for (const DealerAction& action : std::exchange(dealer_.actions(), {})) result.push_back(std::get<Give>(action));
    return result;
  }
  // The workers of all actions so far, which must be recalls.
  std::vector<WorkerId> recalls() {
    std::vector<WorkerId> result;
    for (const DealerAction& action : std::exchange(dealer_.actions(), {})) {
      result.push_back(std::get<Recall>(action).worker);
    }
    return result;
  }
  // Makes the job known: `tasks` tasks were run by worker 1, which must be free.
  void measure(JobId id, Nanoseconds each, std::uint64_t tasks) {
    for (std::uint64_t task = 0; task < tasks; ++task) {
      dealer_.add_run(pool, Tasks{id, 1'000'000 + 2 * task, 2, 2});
      ASSERT_TRUE(dealer_.finished(1, id, 1'000'000 + 2 * task, 2, 2 * each));
    }
    dealer_.actions().clear();
  }

  RankDealer dealer_;
};

inline Tasks of(int priority, JobId id, std::uint64_t count = 1) { return {id, 0, count, 1, 0, priority}; }

}  // namespace rankpool::scheduler
