// Waiting for the ends of many jobs.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include <rankpool/detail/deadline.hpp>
#include <rankpool/detail/job_state.hpp>

namespace rankpool::detail {

/// For how long a call waits: any duration or optional one; none: for ever. Counts from when it is made.
class Limit {
 public:
  Limit() = default;
  Limit(std::nullopt_t) {}  // NOLINT: all of these convert on purpose
  template <class Rep, class Period>
  Limit(std::chrono::duration<Rep, Period> limit) : deadline_(deadline_after(limit)) {}  // NOLINT
  template <class Rep, class Period>
  Limit(std::optional<std::chrono::duration<Rep, Period>> limit) {  // NOLINT
    if (limit) deadline_ = deadline_after(*limit);
  }

  Deadline deadline() const noexcept { return deadline_; }

 private:
  Deadline deadline_;
};

/// Hears of the ends of jobs from when it is made until it goes; each end costs the same, however many the jobs are.
/// For one thread.
class EndWatch {
 public:
  /// Of several that are the same job only the first counts.
  explicit EndWatch(std::vector<std::shared_ptr<JobState>> jobs);
  EndWatch(const EndWatch&) = delete;
  EndWatch& operator=(const EndWatch&) = delete;
  ~EndWatch();

  /// Different jobs.
  std::size_t size() const noexcept { return count_; }
  /// Jobs whose end `next` has not told.
  std::size_t left() const noexcept { return count_ - told_; }
  /// Is this the first place of its job?
  bool counts(std::size_t index) const noexcept { return jobs_[index] != nullptr; }
  /// The place of the next job that has ended, in the order of their ends, those first that had ended before; none if
  /// the deadline passed first. Not if none is left. The job is let go.
  std::optional<std::size_t> next(Deadline deadline);
  /// Waits until so many have ended, or one with an error if `or_error`; false if the deadline passed first.
  bool wait(std::size_t count, bool or_error, Deadline deadline) const;

 private:
  class Ends;

  std::vector<std::shared_ptr<JobState>> jobs_;
  std::size_t count_ = 0;
  std::size_t told_ = 0;
  std::shared_ptr<Ends> ends_;
};

}  // namespace rankpool::detail
