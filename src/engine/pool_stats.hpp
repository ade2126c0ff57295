// Counts what a pool does.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <rankpool/detail/buffer.hpp>

#include "wire/insights.hpp"

namespace rankpool::engine {

/// What is counted for each job, to take its unfinished tasks out of the sums when it is forgotten.
struct JobStats {
  std::uint64_t submitted = 0;
  std::uint64_t ended = 0;
  std::uint64_t under_way = 0;
};

/// The numbers behind rankpool::Insights: a few additions for each report of a rank.
class PoolStats {
 public:
  PoolStats() = default;
  /// `workers[r]`: of rank r.
  explicit PoolStats(const std::vector<int>& workers)
      : workers_(workers), ranks_(workers.size()), opened_(std::chrono::steady_clock::now()) {}

  void submitted(JobStats& job, std::uint64_t count) noexcept {
    job.submitted += count;
    sums_.submitted += count;
  }
  void sent(JobStats& job, std::uint64_t count) noexcept {
    job.under_way += count;
    sums_.under_way += count;
  }
  /// `count` tasks have returned after `work` ns in all.
  void done(JobStats& job, int rank, std::uint64_t count, std::uint64_t work) noexcept {
    sums_.done += count;
    worked(job, rank, count, work);
  }
  void failed(JobStats& job, int rank, std::uint64_t work) noexcept {
    ++sums_.failed;
    worked(job, rank, 1, work);
  }
  /// An attempt has ended without a result. `lost_for_good` follows if there is no other.
  void lost(JobStats& job) noexcept {
    ++sums_.lost;
    reported(job, 1);
  }
  void lost_for_good(JobStats& job) noexcept {
    ++sums_.lost_for_good;
    ++sums_.failed;
    ++job.ended;
  }
  /// A rank has given them back, and nobody has begun them.
  void returned(JobStats& job, std::uint64_t count) noexcept { reported(job, count); }
  void worker_started() noexcept { ++sums_.workers_started; }
  /// They had ended, and must be run again.
  void undone(JobStats& job, std::uint64_t count) noexcept {
    job.ended -= count;
    sums_.done -= count;
  }
  /// Its workers are gone; what it has done counts.
  void rank_lost(int rank) noexcept { workers_[static_cast<std::size_t>(rank)] = 0; }
  /// Nothing of this job is counted any more.
  void forget(const JobStats& job) noexcept {
    sums_.under_way -= job.under_way;
    sums_.cancelled += job.submitted - job.ended;
  }

  /// As pool_numbers has them.
  void write(detail::Buffer& out, const std::vector<std::string>& hosts) const {
    wire::PoolInsights sums = sums_;
    sums.elapsed =
        static_cast<std::uint64_t>(std::chrono::nanoseconds(std::chrono::steady_clock::now() - opened_).count());
    sums.ranks = 0;
    for (std::size_t r = 0; r < ranks_.size(); ++r) sums.ranks += is_told(r) ? 1u : 0u;
    out.append(&sums, sizeof sums);
    for (std::size_t r = 0; r < ranks_.size(); ++r) {
      if (!is_told(r)) continue;
      const wire::RankInsights rank{.rank = static_cast<std::int32_t>(r),
                                    .workers = workers_[r],
                                    .tasks = ranks_[r].tasks,
                                    .working = ranks_[r].working,
                                    .host = wire::host_name(hosts[r])};
      out.append(&rank, sizeof rank);
    }
  }

 private:
  struct Rank {
    std::uint64_t tasks = 0;
    std::uint64_t working = 0;
  };

  bool is_told(std::size_t rank) const noexcept { return workers_[rank] > 0 || ranks_[rank].tasks > 0; }
  void reported(JobStats& job, std::uint64_t count) noexcept {
    job.under_way -= count;
    sums_.under_way -= count;
  }
  void worked(JobStats& job, int number, std::uint64_t count, std::uint64_t work) noexcept {
    reported(job, count);
    job.ended += count;
    Rank& rank = ranks_[static_cast<std::size_t>(number)];
    rank.tasks += count;
    rank.working += work;
    sums_.longest = std::max(sums_.longest, count > 1 ? work / count : work);
  }

  std::vector<int> workers_;
  std::vector<Rank> ranks_;
  wire::PoolInsights sums_;
  std::chrono::steady_clock::time_point opened_;
};

}  // namespace rankpool::engine
