// How much memory the tasks of a worker may have.
#pragma once

#include <cstdint>

namespace rankpool::worker {

/// The limit of a pool's memory_limit on this process: RLIMIT_DATA, so it counts what belongs to this process alone,
/// and not the mappings of shared memory that every worker has. It holds only while a task runs: the code around the
/// tasks must be able to tell that a task had no memory left.
class MemoryLimit {
 public:
  /// To be called once, before any task; 0: no limit. @throws std::invalid_argument if this process has as much already
  void open(std::uint64_t bytes);

  void begin_task() noexcept {
    if (bytes_ != 0) set(bytes_);
  }
  void end_task() noexcept {
    if (bytes_ != 0) set(highest_);
  }
  /// Have the tasks so far left less than half of the room that the first one had? Between tasks.
  bool used_up() noexcept;

 private:
  static void set(std::uint64_t soft) noexcept;

  std::uint64_t bytes_ = 0;
  std::uint64_t highest_ = 0;  // without our limit
  std::uint64_t room_ = 0;     // at the beginning
};

}  // namespace rankpool::worker
