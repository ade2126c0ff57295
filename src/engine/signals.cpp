#include "engine/signals.hpp"

#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "engine/stop_policy.hpp"

namespace rankpool::engine {
namespace {

using Clock = EndGuard::Clock;

std::atomic<Signals*> installed{nullptr};
std::atomic<int> handlers_running{0};

// The engine of rank 0 sees a second signal sooner than this, and tells the others first. If it does not, it hangs.
constexpr auto engine_time = std::chrono::milliseconds(50);

void raise_by_default(int signal) noexcept {
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

}  // namespace

Signals::Signals(link::RankPageData& page, bool master, const EndGuard::Manner& manner)
    : page_(page), master_(master), owner_(::getpid()), guard_(std::make_unique<EndGuard>(manner)) {
  installed = this;
  struct sigaction action = {};
  action.sa_handler = &handle;
  action.sa_flags = SA_RESTART;  // neither MPI nor the program is to see calls that fail with EINTR
  ::sigemptyset(&action.sa_mask);
  for (const int signal : numbers) ::sigaddset(&action.sa_mask, signal);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    ::sigaction(numbers[i], nullptr, &before_[i]);
    const bool is_default = (before_[i].sa_flags & SA_SIGINFO) == 0 && before_[i].sa_handler == SIG_DFL;
    taken_[i] = is_default && ::sigaction(numbers[i], &action, nullptr) == 0;
  }
}

Signals::~Signals() {
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    struct sigaction now = {};
    if (!taken_[i] || ::sigaction(numbers[i], nullptr, &now) != 0 || now.sa_handler != &handle) continue;
    ::sigaction(numbers[i], &before_[i], nullptr);
  }
  installed = nullptr;
  while (handlers_running != 0) ::sched_yield();             // in another thread
  if (guard_->armed()) static_cast<void>(guard_.release());  // what is to come of the program is limited too
  const std::uint32_t late = take();
  for (const int signal : numbers)
    if ((late >> signal & 1u) != 0) ::raise(signal);
}

void Signals::handle(int signal) {
  const int error = errno;
  ++handlers_running;
  if (Signals* const here = installed.load()) here->note(signal);
  --handlers_running;
  errno = error;
}

void Signals::note(int signal) noexcept {
  if (::getpid() != owner_) return raise_by_default(signal);  // a process that the program has forked
  come_.fetch_or(1u << signal);
  if (signal != SIGUSR1) {
    const Clock::time_point now = Clock::now();
    const std::int64_t ns = std::chrono::nanoseconds(now.time_since_epoch()).count();
    std::int64_t first = 0;
    if (first_.compare_exchange_strong(first, ns)) {
      guard_->arm(signal, EndGuard::Why::too_late,
                  now + (master_ ? StopPolicy::end_after : StopPolicy::others_end_after));
    } else if (std::chrono::nanoseconds(ns - first) >= StopPolicy::apart) {
      guard_->arm(signal, EndGuard::Why::asked_again, now + engine_time);
    }
  }
  page_.bell.ring();
}

}  // namespace rankpool::engine
