#include "engine/job_stop.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <string>
#include <utility>

#include "engine/children.hpp"

namespace rankpool::engine {
namespace {

using wire::Kind;

constexpr auto between_looks = std::chrono::milliseconds(5);
constexpr auto time_to_tell_others = std::chrono::milliseconds(20);

const char* name_of(int signal) {
  switch (signal) {
    case SIGINT:
      return "SIGINT";
    case SIGTERM:
      return "SIGTERM";
    default:
      return "SIGUSR1";
  }
}

/// "1203 of 20000 tasks had ended"
std::string progress(const PoolMaster::Tally& tasks) {
  return std::to_string(tasks.ended) + " of " + std::to_string(tasks.submitted) +
         (tasks.submitted == 1 ? " task" : " tasks") + " had ended";
}

}  // namespace

JobStop::JobStop(Router& router, Signals& signals, WorkerHost& workers, ProcessHost& processes, PoolMaster* pools,
                 ProcessMaster* process_master)
    : router_(router),
      signals_(signals),
      workers_(workers),
      processes_(processes),
      pools_(pools),
      process_master_(process_master),
      policy_(router.layout().ranks()),
      running_(static_cast<std::size_t>(router.layout().ranks())) {}

void JobStop::take_signals() {
  const std::uint32_t come = signals_.take();
  for (const int signal : {SIGUSR1, SIGTERM, SIGINT}) {
    if ((come >> signal & 1u) == 0) continue;
    if (pools_ != nullptr) {
      signalled(0, signal);
    } else {
      router_.send({.to = {0, 0}, .kind = Kind::signalled, .flags = static_cast<std::uint32_t>(signal)}, {});
    }
  }
}

void JobStop::on_frame(const wire::Header& head) {
  const int signal = static_cast<int>(head.flags);
  if (head.kind == Kind::signalled && pools_ != nullptr) return signalled(head.from.rank, signal);
  if (head.kind == Kind::still_running && pools_ != nullptr) {
    running_.at(static_cast<std::size_t>(head.from.rank)) = head.flags;
    return;
  }
  if (head.kind != Kind::stop_running) throw wire::BadFrame("a frame about a signal came to another rank than 0");
  switch (static_cast<wire::Stop>(head.token)) {
    case wire::Stop::tasks:
      begin(signal);
      break;
    case wire::Stop::processes:
      processes_.terminate();
      break;
    case wire::Stop::now:
      signals_.guard().arm(signal, EndGuard::Why::asked_again, Clock::now());
      break;
  }
}

// --- this rank

void JobStop::begin(int signal) {
  if (began_) return;
  began_ = Clock::now();
  signals_.guard().arm(signal, EndGuard::Why::too_late, *began_ + StopPolicy::others_end_after);
  processes_.start_no_more();
  workers_.stop();
  report();
}

/// Behind the results of what has ended here.
void JobStop::report() {
  const std::uint32_t now = workers_.running();
  if (reported_ == now) return;
  reported_ = now;
  router_.send({.to = {0, 0}, .kind = Kind::still_running, .flags = now}, {});
}

JobStop::Clock::time_point JobStop::look() {
  const Clock::time_point now = Clock::now();
  if (began_) report();
  if (policy_.draining()) give_up();
  if (policy_.look(now, idle()) == StopPolicy::Action::tell) tell();
  return now + between_looks;
}

bool JobStop::children_have_time() const noexcept {
  return began_ && processes_.any() && Clock::now() < *began_ + StopPolicy::processes_until;
}

// --- rank 0

void JobStop::signalled(int rank, int signal) {
  const auto now = Clock::now();
  switch (policy_.signalled(rank, signal, now)) {
    case StopPolicy::Action::drain:
      say(signal, rank, "what runs is finished, and nothing new is begun");
      drain(signal);
      break;
    case StopPolicy::Action::stop:
      say(signal, rank, "the job stops: what runs is asked to stop and has 0.25 s (once more: all ends at once)");
      signals_.guard().arm(signal, EndGuard::Why::too_late, now + StopPolicy::end_after);
      stop();
      break;
    case StopPolicy::Action::end:
      broadcast(wire::Stop::now);
      signals_.guard().arm(signal, EndGuard::Why::asked_again,
                           now + (router_.layout().ranks() > 1 ? time_to_tell_others : Clock::duration::zero()));
      break;
    case StopPolicy::Action::tell:
    case StopPolicy::Action::none:
      break;
  }
}

void JobStop::say(int signal, int rank, const char* what) const {
  const std::string& host = router_.layout().hosts[static_cast<std::size_t>(rank)];
  std::fprintf(stderr, "rankpool: %s has come to rank %d on %s: %s\n", name_of(signal), rank, host.c_str(), what);
}

void JobStop::broadcast(wire::Stop stop) {
  for (int rank = router_.layout().ranks() - 1; rank >= 0; --rank) {
    if (rank == 0 && stop == wire::Stop::now) continue;  // it has to tell the others
    router_.send({.to = {rank, 0},
                  .token = static_cast<std::uint64_t>(stop),
                  .kind = Kind::stop_running,
                  .flags = static_cast<std::uint32_t>(policy_.stop_signal())},
                 {});
  }
}

/// From here on, tasks are those of the jobs that are open now, and what comes later.
void JobStop::begin_to_count() {
  const auto open = pools_->open_tasks();
  const auto& all = pools_->all_tasks();
  before_ = {all.submitted - open.submitted, all.ended - open.ended};
}

PoolMaster::Tally JobStop::counted() const {
  const auto& all = pools_->all_tasks();
  return {all.submitted - before_.submitted, all.ended - before_.ended};
}

void JobStop::stop() {
  begin_to_count();
  broadcast(wire::Stop::tasks);
  if (on_stopping_) on_stopping_();
}

bool JobStop::idle() const noexcept {
  return std::all_of(running_.begin(), running_.end(), [](const auto& count) { return count == 0u; });
}

void JobStop::tell() {
  const auto tasks = counted();
  std::uint64_t stopped = 0;
  for (const auto& count : running_) stopped += count.value_or(0);
  const std::string rest =
      stopped == 0 ? "" : ", " + std::to_string(stopped) + (stopped == 1 ? " was" : " were") + " stopped";
  std::fprintf(stderr, "rankpool: stopped by %s: %s%s\n", name_of(policy_.stop_signal()),
               tasks.submitted == 0 ? "no tasks were open" : progress(tasks).c_str(), rest.c_str());
  broadcast(wire::Stop::processes);
  router_.send({.to = {0, Children::main_link},
                .kind = Kind::interrupted,
                .flags = static_cast<std::uint32_t>(policy_.stop_signal())},
               {});
}

void JobStop::drain(int signal) {
  begin_to_count();
  pools_->drain({0, Children::main_link}, signal);
  process_master_->drain({0, Children::main_link}, signal);
}

/// What the program waits for and nobody will begin.
void JobStop::give_up() {
  if (!pools_->drained()) return;
  left_ += pools_->give_up();
  not_started_ += process_master_->give_up();
}

void JobStop::say_what_is_left() const {
  if (policy_.stop_signal() != 0 || !outcome().work_left) return;
  std::string text = progress(counted());
  if (left_ > 0) text += ", " + std::to_string(left_) + (left_ == 1 ? " is" : " are") + " left";
  if (not_started_ > 0)
    text +=
        ", " + std::to_string(not_started_) + (not_started_ == 1 ? " Process was" : " Processes were") + " not started";
  std::fprintf(stderr, "rankpool: ended early by SIGUSR1: %s: run the program again (exit code 102)\n", text.c_str());
}

}  // namespace rankpool::engine
