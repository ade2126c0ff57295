// How one call is ranked, limited and repeated.
#pragma once

#include <chrono>
#include <optional>

namespace rankpool {

/// Options of `ProcessPoolExecutor::submit`.
struct TaskOptions {
  int priority = 0;                       ///< higher first, among the tasks of an executor that wait
  std::chrono::nanoseconds timeout = {};  ///< a task that runs longer is stopped: TaskTimeout; 0: no limit
  std::optional<int> retries = {};        ///< runs beyond the first of a lost or late task; none: no more
};

namespace detail {
struct JobShape;
/// @throws std::invalid_argument for an option without sense
void set_options(JobShape& shape, const TaskOptions& options);
}  // namespace detail

}  // namespace rankpool
