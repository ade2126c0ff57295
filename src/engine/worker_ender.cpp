#include "engine/worker_ender.hpp"

#include <sys/wait.h>

#include <algorithm>
#include <csignal>

namespace rankpool::engine {

void WorkerEnder::end(std::uint32_t link, Clock::time_point now) {
  const auto found = workers_.find(link);
  if (found == workers_.end()) return;
  if (!found->second || found->second->number != 0) send_term(link, found->second, 0, now);
}

void WorkerEnder::send_term(std::uint32_t link, std::optional<Ending>& ending, std::uint64_t number,
                            Clock::time_point now) {
  if (!ending) ++ending_;
  ending = Ending{number, now + grace};
  children_.signal(link, SIGTERM);
}

std::optional<std::uint64_t> WorkerEnder::late_task(link::TaskWords& words, Clock::time_point now,
                                                    Clock::time_point& next) {
  const std::uint64_t number = words.begun();
  const std::uint64_t deadline = words.deadline();
  if (deadline == 0 || words.begun() != number) return std::nullopt;  // else it may be another task's
  const Clock::time_point at{std::chrono::nanoseconds(deadline)};
  if (now >= at) return number;
  next = std::min(next, at);
  return std::nullopt;
}

WorkerEnder::Clock::time_point WorkerEnder::look(Clock::time_point now) {
  Clock::time_point next = Clock::time_point::max();
  for (auto& [link, ending] : workers_) {
    Port* const port = children_.port(link);
    if (port == nullptr) continue;
    if (ending && ending->number == 0) {
      if (now >= ending->kill_at) {
        children_.signal(link, SIGKILL);
        ending->kill_at = Clock::time_point::max();
      }
      next = std::min(next, ending->kill_at);
      continue;
    }
    const std::optional<std::uint64_t> late = late_task(port->tasks(), now, next);
    if (late && (!ending || ending->number != *late)) {
      send_term(link, ending, *late, now);
    } else if (ending && now >= ending->kill_at) {
      if (late) {
        children_.signal(link, SIGKILL);
        ending->kill_at = Clock::time_point::max();
      } else {  // it has caught the signal, and gone on with something else
        ending.reset();
        --ending_;
      }
    }
    if (ending) next = std::min(next, ending->kill_at);
  }
  return next;
}

WorkerEnder::Part WorkerEnder::remove_worker(std::uint32_t link, int wait_status, std::uint64_t begun) {
  const auto found = workers_.find(link);
  if (found == workers_.end()) return Part::none;
  const std::optional<Ending> ending = found->second;
  workers_.erase(found);
  if (!ending) return Part::none;
  --ending_;
  if (ending->number == 0) return Part::asked;
  if (ending->number == begun) return Part::too_late;
  const bool crashed = WIFSIGNALED(wait_status) && WTERMSIG(wait_status) != SIGTERM && WTERMSIG(wait_status) != SIGKILL;
  return crashed ? Part::none : Part::innocent;
}

}  // namespace rankpool::engine
