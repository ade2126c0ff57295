#include <rankpool/this_task.hpp>

#include "worker/running_task.hpp"

namespace rankpool {

TaskContext this_task() { return worker::RunningTask::here().context(); }

std::mt19937_64& task_rng() { return worker::RunningTask::here().rng(); }

}  // namespace rankpool
