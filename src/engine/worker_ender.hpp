// Ends workers whose task runs too long, and workers that shall have a moment to end by themselves.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <unordered_map>

#include "engine/children.hpp"

namespace rankpool::engine {

/// Sends SIGTERM, and after a while SIGKILL to who is still there. Looks at the deadlines of the workers only while
/// some job has a limit. The clock that it is given is that of the deadlines.
class WorkerEnder {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr auto grace = std::chrono::seconds(1);

  explicit WorkerEnder(Children& children) : children_(children) {}

  void add_worker(std::uint32_t link) { workers_.try_emplace(link); }
  /// One more or one less job whose tasks have a time limit.
  void job_opened() noexcept { ++limited_jobs_; }
  void job_closed() noexcept { --limited_jobs_; }
  /// SIGTERM now, and SIGKILL if that does not help.
  void end(std::uint32_t link, Clock::time_point now);

  /// Is there anything to look after?
  bool active() const noexcept { return limited_jobs_ > 0 || ending_ > 0; }
  /// Ends who is too late. Returns when it must be called again, if it is known.
  Clock::time_point look(Clock::time_point now);

  /// What this had to do with the end of a worker.
  enum class Part {
    none,
    too_late,  ///< it was sent a signal for the task that it had begun last
    innocent,  ///< it has ended by the signal, but it was for an earlier task
    asked,     ///< by `end`
  };
  /// The worker has ended, after it had begun so many tasks.
  Part remove_worker(std::uint32_t link, int wait_status, std::uint64_t begun);

 private:
  struct Ending {
    std::uint64_t number;       ///< of the task that is too late; 0: the worker must go, whatever it does
    Clock::time_point kill_at;  ///< max(): SIGKILL has been sent
  };
  /// The task that the worker is in, if it is too late; if not, `next` comes forward to its deadline.
  static std::optional<std::uint64_t> late_task(link::TaskWords& words, Clock::time_point now, Clock::time_point& next);
  void send_term(std::uint32_t link, std::optional<Ending>& ending, std::uint64_t number, Clock::time_point now);

  Children& children_;
  std::unordered_map<std::uint32_t, std::optional<Ending>> workers_;
  std::size_t limited_jobs_ = 0;
  std::size_t ending_ = 0;
};

}  // namespace rankpool::engine
