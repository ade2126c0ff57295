// A scheduler and what its tests ask of it.
#pragma once

#include "scheduler/pool_scheduler.hpp"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace rankpool::scheduler {

using std::chrono::milliseconds;

inline constexpr PoolId pool = 1;
inline constexpr JobId job = 10;

using Tasks = Run;  // testing::Test has a Run of its own

class Scheduler : public testing::Test {
 protected:
  void submit(JobId id, std::uint64_t tasks, JobOptions options = {}) {
    scheduler_.submit(id, pool, options);
    scheduler_.add_items(id, tasks);
    scheduler_.end_items(id);
  }
  template <class Kind>
  std::vector<Kind> take() {
    std::vector<Kind> result;
    std::vector<Action> others;
    for (const Action& action : std::exchange(scheduler_.actions(), {})) {
      if (const auto* kind = std::get_if<Kind>(&action)) {
        result.push_back(*kind);
      } else {
        others.push_back(action);
      }
    }
    scheduler_.actions() = others;
    return result;
  }
  std::map<int, std::uint64_t> sent_tasks() {
    std::map<int, std::uint64_t> tasks;
    for (const SendRun& send : take<SendRun>()) tasks[send.rank] += send.run.count;
    return tasks;
  }
  using Sent = std::map<int, std::uint64_t>;

  PoolScheduler scheduler_;
};

}  // namespace rankpool::scheduler
