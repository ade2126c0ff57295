// Asking the scheduler about a job of one task.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include <rankpool/detail/job_state.hpp>

#include "client/client.hpp"
#include "wire/messages.hpp"

namespace rankpool::detail {

/// Questions are answered in the order in which they were asked; a job that has ended answers no more. Any thread.
class TaskAsker final : public JobOrigin {
 public:
  explicit TaskAsker(std::uint64_t job) : job_(job) {}

  /// Asks without waiting, and returns the number of the question.
  std::uint64_t ask(client::Client& client, wire::Ask what, bool ring = true);
  bool answered(std::uint64_t number) const noexcept { return answers_.load(std::memory_order_acquire) >= number; }
  /// The next answer. By the thread that reads the link.
  void answer(bool running) noexcept;

  void cancel(JobState& job) override { wait_for_answer(job, wire::Ask::cancel); }
  bool running(const JobState& job) override;

 private:
  void wait_for_answer(const JobState& job, wire::Ask what);

  std::uint64_t job_;
  std::mutex mutex_;  // numbers are given in the order of the frames
  std::uint64_t asked_ = 0;
  std::atomic<std::uint64_t> answers_{0};
  std::atomic<bool> running_{false};
};

}  // namespace rankpool::detail
