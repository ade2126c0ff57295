#include "worker/zygote_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio_ext.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <iostream>
#include <span>
#include <unordered_map>
#include <vector>

#include "link/descriptors.hpp"

namespace rankpool::worker {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* oom_score_file = "/proc/self/oom_score_adj";

/// Exists in the zygote only; children leave it by `become_child` and never come back.
class ZygoteProcess {
 public:
  explicit ZygoteProcess(const ZygotePlan& plan) : plan_(plan) {}
  [[noreturn]] void run();

 private:
  void enter_own_group();
  void take_cores();
  void redirect_streams();
  void open_signals();
  void prepare_score();

  void handle_signals();
  void handle_request();
  void fork_child(std::uint32_t link_id, link::LinkEnd::Descriptors descriptors);
  [[noreturn]] void become_child(std::uint32_t link_id, link::LinkEnd::Descriptors descriptors) noexcept;
  void send_signal(std::uint32_t link_id, int number);
  void reap();
  void report(const ZygoteEvent& event) { reports_.push_back(event); }
  void send_reports();
  [[noreturn]] void end();

  const ZygotePlan plan_;
  const pid_t self_ = ::getpid();
  int socket_ = -1;
  int signals_ = -1;
  std::array<char, 16> oom_score_{};  // of children, as the kernel takes it
  std::array<char, 16> rank_name_{};  // the longest name a process can have
  struct sigaction child_sigchld_ = {};
  std::unordered_map<pid_t, std::uint32_t> children_;  // pid to link
  std::deque<ZygoteEvent> reports_;                    // not yet sent: the rank is slow, nobody waits for it
};

void ZygoteProcess::run() {
  enter_own_group();
  take_cores();
  redirect_streams();
  open_signals();
  prepare_score();
  for (;;) {
    // No time limit: this process has nothing to do until its rank, a child, or a signal says so.
    const short wanted = reports_.empty() ? POLLIN : POLLIN | POLLOUT;
    std::array<pollfd, 2> sources{{{socket_, wanted, 0}, {signals_, POLLIN, 0}}};
    ::poll(sources.data(), sources.size(), -1);
    if (sources[1].revents != 0) handle_signals();
    if ((sources[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) handle_request();
    send_reports();
  }
}

void ZygoteProcess::enter_own_group() {
  ::setpgid(0, 0);
  ::prctl(PR_GET_NAME, rank_name_.data());
  ::prctl(PR_SET_NAME, "rankpool-zygote");
  // SIGTERM, because `end` also reaches the processes that children have started; SIGKILL would orphan those.
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != plan_.rank) ::_exit(EXIT_FAILURE);
}

void ZygoteProcess::take_cores() {
  if (plan_.affinity_pid == 0) return;
  constexpr int most_cores = 16 * 1024;
  std::array<cpu_set_t, most_cores / CPU_SETSIZE> cores{};
  // On failure the rank's own cores remain: fewer, but never wrong.
  if (::sched_getaffinity(plan_.affinity_pid, sizeof cores, cores.data()) == 0) {
    ::sched_setaffinity(0, sizeof cores, cores.data());
  }
}

void ZygoteProcess::redirect_streams() {
  socket_ = ::fcntl(plan_.socket, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  ::close(plan_.socket);
  // The rank may have read ahead: what is in its buffer is not the children's.
  const link::UniqueFd empty(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ::dup2(empty.get(), STDIN_FILENO);
  ::__fpurge(stdin);
  // Lines of several children mix as whole lines. With buffers of their own: the streams may have had tiny ones.
  static std::array<char, BUFSIZ> out;
  static std::array<char, BUFSIZ> error;
  std::setvbuf(stdout, out.data(), _IOLBF, out.size());
  std::setvbuf(stderr, error.data(), _IOLBF, error.size());
}

void ZygoteProcess::open_signals() {
  // A rank that ignores SIGCHLD would lose every wait status.
  struct sigaction by_default = {};
  by_default.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &by_default, &child_sigchld_);
  sigset_t watched;
  ::sigemptyset(&watched);
  ::sigaddset(&watched, SIGCHLD);
  ::sigaddset(&watched, SIGTERM);
  signals_ = ::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals_ < 0 || socket_ < 0) ::_exit(EXIT_FAILURE);
}

/// When the host runs out of memory, a child is to go and not its engine: that would end the job.
void ZygoteProcess::prepare_score() {
  constexpr int more_than_engine = 500;
  constexpr int highest = 1000;
  std::array<char, 16> text{};
  const link::UniqueFd file(::open(oom_score_file, O_RDONLY | O_CLOEXEC));
  if (!file || ::read(file.get(), text.data(), text.size() - 1) <= 0) return;
  const int score = std::min(std::atoi(text.data()) + more_than_engine, highest);
  std::snprintf(oom_score_.data(), oom_score_.size(), "%d", score);
}

void ZygoteProcess::handle_signals() {
  signalfd_siginfo info;
  while (::read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo == SIGTERM) end();
  }
  reap();
}

void ZygoteProcess::handle_request() {
  ZygoteRequest request;
  std::array<int, 2> descriptors{-1, -1};
  const std::span<std::byte> bytes = std::as_writable_bytes(std::span(&request, 1));
  // The number of descriptors is known by the kind of request only, so look first.
  const ssize_t size = ::recv(socket_, bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size != static_cast<ssize_t>(sizeof request)) end();
  const bool spawn = request.what == ZygoteRequest::What::spawn;
  const auto got = link::receive_message(socket_, bytes, spawn ? std::span<int>(descriptors) : std::span<int>());
  if (request.what == ZygoteRequest::What::signal) {
    send_signal(request.link_id, request.number);
  } else if (!spawn || got == link::Received::closed) {
    end();
  } else if (got == link::Received::descriptors_lost) {
    report({ZygoteEvent::What::fork_failed, request.link_id, 0, EMFILE, 0});
  } else {
    fork_child(request.link_id, {descriptors[0], descriptors[1]});
  }
}

void ZygoteProcess::fork_child(std::uint32_t link_id, link::LinkEnd::Descriptors descriptors) {
  const pid_t pid = ::fork();
  if (pid == 0) become_child(link_id, descriptors);
  const int error = errno;
  ::close(descriptors.memory);
  ::close(descriptors.socket);
  if (pid < 0) return report({ZygoteEvent::What::fork_failed, link_id, 0, error, 0});
  ::setpgid(pid, pid);  // the child does it too: whoever comes first
  children_.emplace(pid, link_id);
  report({ZygoteEvent::What::forked, link_id, pid, 0, 0});
}

void ZygoteProcess::become_child(std::uint32_t link_id, link::LinkEnd::Descriptors descriptors) noexcept {
  ::setpgid(0, 0);
  ::prctl(PR_SET_NAME, rank_name_.data());
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != self_) ::_exit(EXIT_FAILURE);
  ::close(socket_);
  ::close(signals_);
  {
    const link::UniqueFd file(::open(oom_score_file, O_WRONLY | O_CLOEXEC));
    // where it cannot be written, children are as likely to go as their engine
    if (file) static_cast<void>(!::write(file.get(), oom_score_.data(), std::strlen(oom_score_.data())));
  }
  ::sigaction(SIGCHLD, &child_sigchld_, nullptr);
  ::sigprocmask(SIG_SETMASK, &plan_.child_mask, nullptr);
  const int result = plan_.child_main({link_id, descriptors, plan_.page});
  std::cout.flush();
  std::clog.flush();
  std::fflush(nullptr);
  ::_exit(result);
}

void ZygoteProcess::send_signal(std::uint32_t link_id, int number) {
  for (const auto& [pid, link] : children_) {
    if (link == link_id) ::kill(pid, number);
  }
}

void ZygoteProcess::reap() {
  for (;;) {
    siginfo_t ended{};
    if (::waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid == 0) return;
    const pid_t pid = ended.si_pid;
    // While it is not reaped, its number is its group's for certain: end what it has left behind.
    ::kill(-pid, SIGKILL);
    int status = 0;
    rusage usage{};
    if (::wait4(pid, &status, 0, &usage) != pid) return;
    const auto child = children_.find(pid);
    if (child == children_.end()) continue;
    const std::uint64_t max_rss = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
    report({ZygoteEvent::What::ended, child->second, pid, status, max_rss});
    children_.erase(child);
  }
}

void ZygoteProcess::send_reports() {
  std::uint32_t sent = 0;
  while (!reports_.empty()) {
    const auto bytes = std::as_bytes(std::span(&reports_.front(), 1));
    if (link::send_message(socket_, bytes) != link::Sent::yes) break;
    reports_.pop_front();
    ++sent;
  }
  if (sent == 0) return;
  plan_.page->zygote_events.fetch_add(sent, std::memory_order_release);
  // Not the ring that remembers: a child that died while ringing may have left its sleeper unwoken.
  plan_.page->bell.ring();
}

void ZygoteProcess::end() {
  for (const auto& [pid, link] : children_) {
    ::kill(-pid, SIGKILL);
    ::kill(pid, SIGKILL);
  }
  // Reaped here, lest they stay as zombies where nobody else reaps (a container's first process).
  const Clock::time_point limit = Clock::now() + std::chrono::seconds(1);
  while (!children_.empty() && Clock::now() < limit) {
    pollfd source{signals_, POLLIN, 0};
    ::poll(&source, 1, 10);
    signalfd_siginfo info;
    while (::read(signals_, &info, sizeof info) > 0) {
    }
    reap();
  }
  ::_exit(EXIT_SUCCESS);
}

}  // namespace

void run_zygote(const ZygotePlan& plan) noexcept { ZygoteProcess(plan).run(); }

}  // namespace rankpool::worker
