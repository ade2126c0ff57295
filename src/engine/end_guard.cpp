#include "engine/end_guard.hpp"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <string_view>

#include "link/futex.hpp"
#include "link/thread.hpp"

namespace rankpool::engine {
namespace {

int open_process(pid_t pid) noexcept {
  return pid > 0 ? static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)) : -1;  // an old kernel has none: see `end`
}

void send_signal(const link::UniqueFd& process, int signal) noexcept {
  ::syscall(SYS_pidfd_send_signal, process.get(), signal, nullptr, 0);
}

void say(std::string_view first, std::string_view second, std::string_view third) noexcept {
  char line[256];
  std::size_t size = 0;
  for (const std::string_view part : {first, second, third}) {
    if (part.size() > sizeof line - size) break;
    std::memcpy(line + size, part.data(), part.size());
    size += part.size();
  }
  static_cast<void>(!::write(STDERR_FILENO, line, size));
}

std::string_view name_of(int signal) noexcept { return signal == SIGINT ? "SIGINT" : "SIGTERM"; }

}  // namespace

EndGuard::EndGuard(const Manner& manner) : manner_(manner), zygote_(open_process(manner.zygote)) {
  thread_ = link::start_thread("that ends this process in time", [this] { watch(); });
}

EndGuard::~EndGuard() {
  over_ = true;
  turn_.fetch_add(1, std::memory_order_release);
  link::futex_wake(&turn_, 1);
  thread_.join();
}

void EndGuard::arm(int signal, Why why, Clock::time_point at) noexcept {
  int none = 0;
  signal_.compare_exchange_strong(none, signal);
  const std::int64_t wanted = std::chrono::nanoseconds(at.time_since_epoch()).count();
  std::int64_t set = at_.load();
  while (set == 0 || wanted < set) {
    if (!at_.compare_exchange_weak(set, wanted)) continue;
    why_ = why;
    turn_.fetch_add(1, std::memory_order_release);
    link::futex_wake(&turn_, 1);
    return;
  }
}

void EndGuard::program_ended(int status) noexcept {
  status_ = status;
  program_ended_ = true;
}

void EndGuard::watch() noexcept {
  ::pthread_setname_np(::pthread_self(), "rankpool-guard");
  for (;;) {
    const std::uint32_t turn = turn_.load(std::memory_order_acquire);
    if (over_) return;
    const std::int64_t at = at_.load();
    const std::int64_t now = std::chrono::nanoseconds(Clock::now().time_since_epoch()).count();
    if (at != 0 && now >= at) end();
    link::futex_wait(&turn_, turn, at == 0 ? std::chrono::hours(1) : std::chrono::nanoseconds(at - now));
  }
}

/// Nothing here waits for a lock that another thread may hold: no stream is flushed, no handler runs.
void EndGuard::end() noexcept {
  const int signal = signal_;
  const int status = status_;
  const int code = status != 0 ? status : signal == 0 ? 1 : 128 + signal;
  if (manner_.speaks && !program_ended_) {
    switch (why_.load()) {
      case Why::too_late:
        say("rankpool: the program has not ended in time after ", name_of(signal), ", so it ends now\n");
        break;
      case Why::asked_again:
        say("rankpool: ", name_of(signal), " again: everything ends at once\n");
        break;
      case Why::failed:
        say("rankpool: the program has not ended after the failure of its engine, so it ends now\n", "", "");
        break;
    }
  }
  if (manner_.note != nullptr) manner_.note(code);
  // It would be told by the death of this process too, but not continue if somebody has stopped it.
  if (zygote_) {
    send_signal(zygote_, SIGTERM);
    send_signal(zygote_, SIGCONT);
  }
  if (manner_.by_signal && status == 0 && signal != 0) {
    ::signal(signal, SIG_DFL);
    sigset_t only;
    ::sigemptyset(&only);
    ::sigaddset(&only, signal);
    ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
    ::raise(signal);
  }
  ::_exit(code);
}

}  // namespace rankpool::engine
