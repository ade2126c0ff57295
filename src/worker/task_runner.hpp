// Runs the tasks that a child is sent.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>

#include <rankpool/detail/buffer.hpp>
#include <rankpool/detail/dispatch.hpp>

#include "link/user_link.hpp"
#include "wire/messages.hpp"
#include "worker/memory_limit.hpp"
#include "worker/running_task.hpp"

namespace rankpool::worker {

/// Keeps the callables of the jobs it was told of, runs their tasks one after the other and sends each result at once,
/// so that no finished task is lost with a later one. One thread.
class TaskRunner final : private detail::TaskSink {
 public:
  /// Called when a task has ended, before its result is sent, with the objects whose handles are in the result.
  using BeforeEnd = std::function<void(const detail::Buffer::Cargo&)>;
  TaskRunner(link::UserLink& link, int rank, wire::HostName host, BeforeEnd before_end);
  ~TaskRunner();
  TaskRunner(const TaskRunner&) = delete;
  TaskRunner& operator=(const TaskRunner&) = delete;

  /// A job and its callable (its handle, then its bytes). One that cannot be found or decoded is the error of each of
  /// its tasks.
  void learn(std::uint64_t job, const wire::RankJob& about, std::span<const std::byte> callable);
  void run(std::uint64_t job, const wire::RunItems& run, std::span<const std::byte> items);
  void forget(std::uint64_t job);
  /// Sends the value to which the tasks of a job have been reduced here so far, or the error of that. Without `keep` it
  /// is no longer here.
  void flush(std::uint64_t job, bool keep);
  /// Reduces another process's value of the job into the one here. An error is sent.
  void merge(std::uint64_t job, std::span<const std::byte> partial);

  /// Of every task, and of the initializer. False if there can be no such limit: the error has been sent.
  bool limit_memory(std::uint64_t bytes);
  /// Runs an initializer. False if it threw: the error has been sent.
  bool initialize(std::span<const std::byte> initializer);

  /// Shall this process end, and another one run what was not begun? A task has left it in no state for others.
  bool spent() const noexcept { return spent_; }

 private:
  struct Job {
    const detail::Entry* entry = nullptr;
    void* callable = nullptr;
    std::chrono::nanoseconds time_limit{0};
    std::exception_ptr failure;  // why there is no callable
    std::uint64_t first_index = 0;
  };

  detail::Buffer* begin() override;
  void value() override;
  void error(Stage stage, std::string arguments) override;
  void send_error(wire::Kind kind, std::uint64_t task, Stage stage, std::string arguments = {});
  void leave_if_forked() const noexcept;
  std::uint64_t work_since_last() noexcept;
  void end_task();
  void report_folded();

  link::UserLink& link_;
  int rank_;
  wire::HostName host_;
  BeforeEnd before_end_;
  RunningTask& running_ = RunningTask::here();
  std::unordered_map<std::uint64_t, Job> jobs_;
  std::uint64_t job_ = 0;     // of the run under way
  std::uint64_t task_ = 0;    // the next task of it
  bool folding_ = false;      // the tasks of the run have no results
  std::uint64_t folded_ = 0;  // tasks that have ended since the last report
  std::int64_t last_tick_ = 0;
  std::chrono::nanoseconds time_limit_{0};
  std::uint64_t first_index_ = 0;
  std::int32_t attempt_ = 0;
  MemoryLimit memory_;
  bool spent_ = false;
  detail::Buffer result_;
  std::chrono::steady_clock::time_point last_end_;
  std::chrono::steady_clock::time_point last_ring_;
};

}  // namespace rankpool::worker
