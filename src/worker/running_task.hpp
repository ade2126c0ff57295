// What the task that runs in a child knows of itself.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>

#include <rankpool/this_task.hpp>

#include "link/task_words.hpp"

namespace rankpool::worker {

/// A child runs one task at a time, so there is one for each child. Whoever runs the tasks says where each begins and
/// ends; what a task asks for is made when it asks, so that tasks that do not ask pay nothing. Never destroyed while
/// the process lives: a thread of it may be watching for requests to stop.
class RunningTask {
 public:
  RunningTask() = default;
  RunningTask(const RunningTask&) = delete;
  RunningTask& operator=(const RunningTask&) = delete;

  /// That of this process.
  static RunningTask& here();

  /// Before the first task. `words` must live as long as this.
  void open(link::TaskWords& words, std::uint64_t seed) noexcept;
  /// After the words were told of it; the task before has ended.
  void begin(std::uint64_t index, std::int32_t attempt) noexcept;
  void end() noexcept;

  /// Any thread. @throws std::logic_error if no task runs; std::system_error if there can be no thread that watches
  TaskContext context();
  /// Any thread. @throws std::logic_error if no task runs
  std::mt19937_64& rng();

 private:
  void require_task(const char* function) const;
  bool stop_requested() const noexcept;
  void start_watcher();
  [[noreturn]] void watch() noexcept;

  link::TaskWords* words_ = nullptr;
  std::uint64_t seed_ = 0;
  std::atomic<bool> running_{false};
  std::atomic<std::uint64_t> index_{0};
  std::atomic<std::int32_t> attempt_{0};
  std::atomic<bool> asked_{false};  // the running task has something of the following

  std::mutex mutex_;
  bool watching_ = false;
  std::optional<std::stop_source> stop_;
  std::mt19937_64 rng_;
  bool rng_is_ready_ = false;
};

}  // namespace rankpool::worker
