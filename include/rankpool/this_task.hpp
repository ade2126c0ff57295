// What a task can know of itself.
#pragma once

#include <cstddef>
#include <random>
#include <stop_token>

namespace rankpool {

/// Of the task that runs in this process.
struct TaskContext {
  std::size_t index = 0;  ///< its position in the input; of `apply` and `submit`: the number of the call in its pool
  int attempt = 0;        ///< how often it was begun before, because its worker was lost or it took too long
  std::stop_token stop;   ///< asked to stop when the task is cancelled while it runs, or its program is ended
};

/// The task that calls it; threads that the task has started may call it too. Does not block.
/// @throws std::logic_error outside of a task
TaskContext this_task();

/// Random numbers for the task that calls it: they depend on RANKPOOL_SEED and the task's index alone, so they are the
/// same for any number of ranks and workers, any chunk size, and each attempt. Made when a task first asks for it;
/// valid until the task ends; for one thread at a time. @throws std::logic_error outside of a task
std::mt19937_64& task_rng();

}  // namespace rankpool
