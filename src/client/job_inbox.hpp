// The compiled half of a job's state: takes in its frames.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/checkpoint.hpp>
#include <rankpool/detail/job_state.hpp>
#include <rankpool/errors.hpp>

#include "client/client.hpp"
#include "client/task_asker.hpp"

namespace rankpool::detail {

/// No predicate of a wait may take the mutex: callbacks are handed over under it.
struct JobState::Shared {
  struct Observation {
    std::shared_ptr<EndObserver> observer;
    std::size_t index;
  };

  std::atomic<bool> done{false};
  mutable std::mutex mutex;
  std::exception_ptr error;  // of the first task in input order; does not change once `done`
  std::uint64_t error_task = ~std::uint64_t{0};
  bool cancelled = false;  // that is why there is an error
  std::vector<std::function<void()>> callbacks;
  std::vector<Observation> observers;
  std::shared_ptr<JobOrigin> origin;
  std::uint64_t first_index = 0;  // what the first task is called in messages
};

/// For a call that has waited in vain.
TimeoutError not_ended(std::string_view call);
/// The error in a frame that carries a wire::TaskError, and its task; `first_index` is what the first task of the job
/// is called. @throws wire::BadFrame or SerializationError if damaged
std::pair<std::uint64_t, std::exception_ptr> take_error(const link::Incoming& in, std::uint64_t first_index = 0);

/// Receives the frames of one job until it ends.
class JobInbox final : public client::Receiver {
 public:
  /// `forget` is called once, when the job ends. `asker`: null if nobody may ask about the job.
  JobInbox(std::shared_ptr<JobState> state, std::shared_ptr<TaskAsker> asker, std::function<void()> forget)
      : state_(std::move(state)), asker_(std::move(asker)), forget_(std::move(forget)) {}

  void on_frame(link::Incoming& in) override;
  /// Keeps objects alive while tasks that have handles of them may still be begun. Not while the job can end.
  void keep(const Buffer::Cargo& cargo) { cargo_.insert(cargo_.end(), cargo.begin(), cargo.end()); }
  /// Results are written before the job has them; `cancel` is called if that fails. Before any frame comes.
  void set_checkpoint(std::shared_ptr<Checkpoint> checkpoint, std::function<void()> cancel) {
    checkpoint_ = std::move(checkpoint);
    cancel_ = std::move(cancel);
  }
  /// So many more tasks are about to be sent: there can be results of these.
  void expect(std::uint64_t count) noexcept { sent_.fetch_add(count, std::memory_order_relaxed); }
  /// What its first task is called in messages. Before any frame comes.
  void set_first_index(std::uint64_t index) noexcept { state_->shared_->first_index = index; }
  /// Ends the job with this error, if it has not ended. Any thread.
  void end(std::exception_ptr error = nullptr, bool cancelled = false);
  /// No more results are written. Any thread.
  void close() noexcept;

  bool ended() const noexcept { return state_->ended(); }
  const std::shared_ptr<TaskAsker>& asker() const noexcept { return asker_; }

 private:
  void results(link::Incoming& in);
  void failed(std::uint64_t task, std::exception_ptr error);
  void done();
  void check(std::uint64_t first, std::uint64_t count) const;
  void lost(std::span<const std::byte> body);
  void standing(std::uint32_t standing);

  std::shared_ptr<JobState> state_;
  std::shared_ptr<TaskAsker> asker_;
  std::function<void()> forget_;
  std::shared_ptr<Checkpoint> checkpoint_;  // null: none
  std::function<void()> cancel_;
  Buffer::Cargo cargo_;
  std::atomic<std::uint64_t> sent_{0};
};

}  // namespace rankpool::detail
