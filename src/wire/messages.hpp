// The fixed part of every frame's body: one struct per message. What varies in length follows it, in line or as a
// slice.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include <rankpool/detail/fold_kind.hpp>

#include "wire/bad_frame.hpp"
#include "wire/window_mode.hpp"

namespace rankpool::wire {

/// A host name as it travels: zero-terminated, cut if longer.
using HostName = std::array<char, 64>;
inline HostName host_name(std::string_view text) {
  HostName name{};
  text.copy(name.data(), name.size() - 1);
  return name;
}
/// The name of a process, in the same way.
using ProcessName = std::array<char, 256>;
inline ProcessName process_name(std::string_view text) {
  ProcessName name{};
  text.copy(name.data(), name.size() - 1);
  return name;
}
template <std::size_t size>
std::string text_of(const std::array<char, size>& name) {
  return {name.data(), ::strnlen(name.data(), size)};
}

/// A user process, as it introduces itself to those it starts.
struct Who {
  std::int32_t rank;
  std::uint32_t link;
  std::int32_t pid;
  std::uint32_t reserved;
  HostName host;
  ProcessName name;
};

/// pool_open; then the initializer, if any.
struct PoolOpen {
  Who owner;
  std::int32_t processes;  ///< 0: one per slot
  std::uint32_t has_initializer;
  std::uint64_t max_tasks_per_child;  ///< 0: never replaced
  std::uint64_t memory_limit;         ///< bytes, 0: none
};
/// job_open; then the callable. The header's token is the job's, `pool` the client's number of the pool.
struct JobOpen {
  std::uint64_t pool;
  std::uint64_t chunksize;
  std::uint64_t first_index;  ///< what the first task is called: the number of a call in its pool; 0 for a map
  std::uint64_t time_limit;   ///< ns that a task may run; 0: no limit
  std::int32_t retries;
  std::int32_t priority;     ///< higher first
  std::uint32_t item_bytes;  ///< 0: every item has a length in front
  detail::Fold fold;
};
/// job_open and job_results, in the flags of the header: what the client waits for.
enum class Awaited : std::uint32_t {
  whole,  ///< all results: need not be woken for a part
  each,   ///< every result
};
/// job_items; then `count` items, the next of the job.
struct JobItems {
  std::uint64_t count;
};
/// rank_job and child_job; then the callable.
struct RankJob {
  std::uint64_t pool;
  std::uint64_t first_index;
  std::uint64_t time_limit;
  std::uint32_t item_bytes;
  std::uint32_t fold_runs;  ///< how often a task may be begun once its value was lost
  detail::Fold fold;
  std::uint32_t reserved;
};
/// rank_run and child_run; then the items.
struct RunItems {
  std::uint64_t first;
  std::uint64_t count;
  std::uint64_t chunk;
  std::int32_t attempt;   ///< how often these tasks have been begun before
  std::int32_t priority;  ///< of their job
};
/// rank_give_back.
struct GiveBack {
  std::uint64_t count;  ///< of tasks, at most
};
/// runs_returned: any number of these.
struct ReturnedRun {
  std::uint64_t job;
  std::uint64_t first;
  std::uint64_t count;
};
/// Instead of a task's index, where no task is concerned.
inline constexpr std::uint64_t no_task = ~std::uint64_t{0};

/// run_done, child_result and job_results; then the results of tasks [first, first + count).
struct RunDone {
  std::uint64_t first;
  std::uint64_t count;
  std::uint64_t work;  ///< ns of computing in all
};
/// task_error, child_error and job_error; child_init_error, workers_failed and pool_failed; then the error record.
struct TaskError {
  std::uint64_t task;
  std::uint64_t work;
  std::int32_t rank;
  std::int32_t pid;
  HostName host;
};
/// task_lost and job_lost.
struct TaskLost {
  std::uint64_t task;
  std::int32_t wait_status;
  std::int32_t pid;
  std::int32_t rank;
  std::int32_t attempts;
  HostName host;
  std::uint64_t timed_out;  ///< ns of its time limit, if that is why; else 0
};
/// job_ask and rank_ask, in the flags of the header: what is asked of a job of one task.
enum class Ask : std::uint32_t {
  standing,  ///< has it been begun?
  cancel,    ///< forget it if it has not been begun; ask it to stop if it has
};
/// job_standing and rank_standing, in the flags of the header.
enum class Standing : std::uint32_t {
  waiting,    ///< not begun
  running,    ///< begun
  cancelled,  ///< it was not begun and never will be
};
/// workers_start; then the initializer, if any.
struct WorkersStart {
  std::uint64_t count;
  std::uint64_t first_number;  ///< the workers are named PoolWorker-<first_number>, ...
  std::uint64_t max_tasks_per_child;
  std::uint64_t memory_limit;
  std::uint32_t has_initializer;
  std::uint32_t reserved;
  Who owner;
};
/// workers_stop.
struct WorkersStop {
  std::uint32_t signal;  ///< by which they go: SIGKILL, or SIGTERM with SIGKILL a second later; 0: by themselves
};
/// stop_running: how far the end of the job has come.
enum class Stop : std::uint64_t {
  tasks,      ///< running tasks are asked to stop, and nothing is begun
  processes,  ///< Processes are sent SIGTERM
  now,        ///< the rank ends without waiting for anybody
};
/// rank_lost.
struct RankLost {
  std::int32_t rank;
  std::uint32_t silent;  ///< it has not been heard of for too long; else its process has ended
  std::int32_t slots;    ///< to user processes: of the job, without it
  std::uint32_t reserved;
  HostName host;
};
/// job_skip: the next `count` tasks.
struct JobSkip {
  std::uint64_t count;
};
/// child_start; then the initializer, if any, or the call of a Process.
struct ChildStart {
  std::int32_t rank;
  std::int32_t ranks;
  std::int32_t slots;  ///< of the whole job
  std::uint32_t link;
  std::uint32_t has_initializer;
  std::uint32_t is_process;  ///< else a pool worker
  std::uint32_t is_daemon;
  WindowMode window;
  std::uint64_t memory_limit;
  std::uint64_t seed;  ///< RANKPOOL_SEED of the job
  Who parent;
  HostName host;
  ProcessName name;
  ProcessName number;  ///< "2:1": what its children are numbered after
};

/// The message as bytes.
template <class Message>
std::span<const std::byte> bytes_of(const Message& message) noexcept {
  static_assert(std::is_trivially_copyable_v<Message>);
  return std::as_bytes(std::span(&message, 1));
}

/// Takes the message off the front of `body`. @throws BadFrame if it is too short
template <class Message>
Message take(std::span<const std::byte>& body) {
  static_assert(std::is_trivially_copyable_v<Message>);
  if (body.size() < sizeof(Message)) throw BadFrame("a frame is shorter than its message");
  Message message;
  std::memcpy(&message, body.data(), sizeof message);
  body = body.subspan(sizeof message);
  return message;
}

}  // namespace rankpool::wire
