// How many tasks a worker is given at once, by what its job's tasks took so far.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "scheduler/chunk_policy.hpp"
#include "scheduler/types.hpp"

namespace rankpool::scheduler {

/// What the reports of one job tell the dealer.
class DealPace {
 public:
  explicit DealPace(JobId job = 0) noexcept : job_(job) {}

  JobId job() const noexcept { return job_; }
  bool known() const noexcept { return pace_.known(); }
  double task_ns() const noexcept { return pace_.task_ns(); }
  /// Tasks for about 100 us, growing by doubling from what was first reported.
  std::uint64_t batch() const noexcept { return batch_; }

  void measured(std::uint64_t tasks, Nanoseconds work) noexcept {
    batch_ = std::min(pace_.known() ? 2 * batch_ : tasks, most_tasks);
    pace_.measured(tasks, 1, work);
    if (static_cast<double>(batch_) * task_ns() > batch_ns) {
      batch_ = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(batch_ns / task_ns()));
    }
  }

 private:
  static constexpr double batch_ns = 100e3;
  static constexpr std::uint64_t most_tasks = 2048;

  JobId job_;
  Pace pace_;
  std::uint64_t batch_ = 1;
};

/// The paces of the jobs last seen; all runs of a single task share one, unless their job is known from larger runs.
class DealPaces {
 public:
  /// Null if nothing is known.
  const DealPace* find(JobId job, bool single) const noexcept {
    for (const DealPace& pace : jobs_) {
      if (pace.job() == job) return &pace;
    }
    return single && singles_.known() ? &singles_ : nullptr;
  }

  void measured(JobId job, bool single, std::uint64_t tasks, Nanoseconds work) {
    for (DealPace& pace : jobs_) {
      if (pace.job() == job) return pace.measured(tasks, work);
    }
    if (single) return singles_.measured(tasks, work);
    DealPace& place = jobs_.size() < most_jobs ? jobs_.emplace_back() : jobs_[next_++ % most_jobs];
    place = DealPace(job);
    place.measured(tasks, work);
  }

  void forget(JobId job) {
    std::erase_if(jobs_, [job](const DealPace& pace) { return pace.job() == job; });
  }

 private:
  static constexpr std::size_t most_jobs = 8;

  std::vector<DealPace> jobs_;
  std::size_t next_ = 0;
  DealPace singles_;
};

}  // namespace rankpool::scheduler
