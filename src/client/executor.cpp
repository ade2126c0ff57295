#include <rankpool/executor.hpp>

#include <csignal>
#include <stdexcept>
#include <string>

#include "client/pool_client.hpp"

namespace rankpool {
namespace {

std::shared_ptr<detail::PoolClient> open(int max_workers, const ExecutorOptions& options) {
  if (max_workers < 0)
    throw std::invalid_argument("ProcessPoolExecutor: max_workers is " + std::to_string(max_workers) +
                                "; it must be at least 1 (or 0 to use every slot of the job)");
  PoolOptions pool{.initializer = options.initializer, .max_tasks_per_child = options.max_tasks_per_child};
  if (max_workers > 0) pool.processes = max_workers;
  return detail::PoolClient::open(pool, {"executor", "shut down", "shutdown()", "ProcessPoolExecutor"});
}

}  // namespace

ProcessPoolExecutor::ProcessPoolExecutor(int max_workers, const ExecutorOptions& options)
    : client_(open(max_workers, options)) {}

ProcessPoolExecutor::~ProcessPoolExecutor() { client_->leave(std::uncaught_exceptions() > exceptions_); }

int ProcessPoolExecutor::max_workers() const noexcept { return client_->processes(); }

void ProcessPoolExecutor::shutdown(bool wait, bool cancel_futures) {
  client_->close();
  if (cancel_futures) client_->cancel_calls({});
  if (wait) client_->join({});
}

bool ProcessPoolExecutor::shutdown_until(detail::Deadline deadline, bool cancel_futures) {
  client_->close();
  if (cancel_futures) client_->cancel_calls(deadline);
  return client_->join(deadline);
}

void ProcessPoolExecutor::terminate_workers() { client_->terminate(SIGTERM); }
void ProcessPoolExecutor::kill_workers() { client_->terminate(SIGKILL); }

}  // namespace rankpool
