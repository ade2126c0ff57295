// The compiled half of a job's state: takes in its frames.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/job_state.hpp>

#include "client/client.hpp"

namespace rankpool::detail {

struct JobState::Shared {
  std::atomic<bool> done{false};
  mutable std::mutex mutex;
  std::exception_ptr error;  // of the first task in input order
  std::uint64_t error_task = ~std::uint64_t{0};
  std::vector<std::function<void()>> callbacks;
};

/// The error in a frame that carries a wire::TaskError, and its task. @throws wire::BadFrame or SerializationError if
/// damaged
std::pair<std::uint64_t, std::exception_ptr> take_error(const link::Incoming& in);

/// Receives the frames of one job until it ends.
class JobInbox final : public client::Receiver {
 public:
  /// `forget` is called once, when the job ends.
  JobInbox(std::shared_ptr<JobState> state, std::function<void()> forget)
      : state_(std::move(state)), forget_(std::move(forget)) {}

  void on_frame(link::Incoming& in) override;
  /// Keeps objects alive while tasks that have handles of them may still be begun. Not while the job can end.
  void keep(const Buffer::Cargo& cargo) { cargo_.insert(cargo_.end(), cargo.begin(), cargo.end()); }
  /// Ends the job with this error, if it has not ended. Any thread.
  void fail(std::exception_ptr error);

  static void task_failed(JobState& state, std::uint64_t task, std::exception_ptr error);

 private:
  void end();

  std::shared_ptr<JobState> state_;
  std::function<void()> forget_;
  Buffer::Cargo cargo_;
};

}  // namespace rankpool::detail
