#include "client/task_asker.hpp"

namespace rankpool::detail {

std::uint64_t TaskAsker::ask(client::Client& client, wire::Ask what, bool ring) {
  client.settle(0);
  const std::lock_guard lock(mutex_);
  client.send({.to = {0, 0}, .token = job_, .kind = wire::Kind::job_ask, .flags = static_cast<std::uint32_t>(what)}, {},
              nullptr, ring);
  return ++asked_;
}

void TaskAsker::answer(bool running) noexcept {
  running_.store(running, std::memory_order_relaxed);
  answers_.fetch_add(1, std::memory_order_release);
}

bool TaskAsker::running(const JobState& job) {
  wait_for_answer(job, wire::Ask::standing);
  return !job.ended() && running_.load(std::memory_order_relaxed);
}

void TaskAsker::wait_for_answer(const JobState& job, wire::Ask what) {
  const auto client = client::Client::get();
  if (job.ended()) return;
  const std::uint64_t number = ask(*client, what);
  client->link().wait([&] { return job.ended() || answered(number); }, {});
}

}  // namespace rankpool::detail
