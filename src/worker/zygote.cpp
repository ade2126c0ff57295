#include "worker/zygote.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <span>
#include <system_error>
#include <thread>
#include <utility>

#include "link/descriptors.hpp"
#include "worker/zygote_process.hpp"

namespace rankpool::worker {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr auto request_limit = std::chrono::seconds(10);
constexpr auto end_limit = std::chrono::seconds(3);

[[noreturn]] void throw_gone() {
  throw std::system_error(ECONNRESET, std::generic_category(),
                          "rankpool: the process that forks the workers of this rank is gone (was it killed?)");
}

/// Nothing opened from here on takes a number of the standard streams, which children redirect.
void fill_standard_descriptors() {
  for (;;) {
    link::UniqueFd fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!fd || fd.get() > STDERR_FILENO) return;
    fd.release();
  }
}

/// What is unwritten in the buffers would otherwise be written by every child too.
void flush_streams() {
  std::cout.flush();
  std::clog.flush();
  std::fflush(nullptr);
}

void send_request(int socket, const ZygoteRequest& request, std::span<const int> descriptors) {
  const Clock::time_point limit = Clock::now() + request_limit;
  for (;;) {
    switch (link::send_message(socket, std::as_bytes(std::span(&request, 1)), descriptors)) {
      case link::Sent::yes:
        return;
      case link::Sent::closed:
        throw_gone();
      case link::Sent::full:
        break;
    }
    if (Clock::now() > limit) {
      throw std::system_error(ETIMEDOUT, std::generic_category(),
                              "rankpool: the process that forks the workers of this rank takes no requests");
    }
    // Too many descriptors under way do not show in the socket's state, so this wait is short.
    pollfd writable{socket, POLLOUT, 0};
    if (::poll(&writable, 1, 1) > 0) std::this_thread::sleep_for(milliseconds(1));
  }
}

bool reaped_within(pid_t pid, Clock::duration time) noexcept {
  const Clock::time_point limit = Clock::now() + time;
  for (auto pause = std::chrono::microseconds(50);; pause = std::min(2 * pause, std::chrono::microseconds(2000))) {
    const pid_t got = ::waitpid(pid, nullptr, WNOHANG);
    if (got == pid || (got < 0 && errno != EINTR)) return true;
    if (Clock::now() > limit) return false;
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace

Zygote Zygote::start(link::RankPageData& page, ChildMain child_main, pid_t affinity_pid) {
  fill_standard_descriptors();
  auto [mine, theirs] = link::make_socket_pair();
  flush_streams();
  ZygotePlan plan;
  plan.socket = theirs.get();
  plan.page = &page;
  plan.child_main = child_main;
  plan.rank = ::getpid();
  plan.affinity_pid = affinity_pid;

  // No handler of the rank must run in the zygote, not even between fork and its first line.
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &plan.child_mask);
  const pid_t pid = ::fork();
  const int error = errno;
  if (pid == 0) {
    ::close(mine.get());
    run_zygote(plan);
  }
  ::pthread_sigmask(SIG_SETMASK, &plan.child_mask, nullptr);
  if (pid < 0)
    throw std::system_error(
        error, std::generic_category(),
        "rankpool: fork of the process that forks the workers (raise the limit on processes: ulimit -u)");

  ::setpgid(pid, pid);  // the zygote does it too: whoever comes first
  Zygote zygote;
  zygote.pid_ = pid;
  zygote.owner_ = plan.rank;
  zygote.socket_ = mine.release();
  return zygote;
}

Zygote::Zygote(Zygote&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      owner_(std::exchange(other.owner_, -1)),
      socket_(std::exchange(other.socket_, -1)) {}

Zygote& Zygote::operator=(Zygote&& other) noexcept {
  if (this != &other) {
    end();
    pid_ = std::exchange(other.pid_, -1);
    owner_ = std::exchange(other.owner_, -1);
    socket_ = std::exchange(other.socket_, -1);
  }
  return *this;
}

Zygote::~Zygote() { end(); }

void Zygote::end() noexcept {
  if (socket_ < 0) return;
  link::UniqueFd socket(std::exchange(socket_, -1));
  const pid_t pid = std::exchange(pid_, -1);
  if (owner_ != ::getpid()) return;
  // The request is for the case that somebody else (a process forked by the user) has the socket open too.
  const ZygoteRequest request{ZygoteRequest::What::end, 0, 0};
  try {
    link::send_message(socket.get(), std::as_bytes(std::span(&request, 1)));
  } catch (const std::system_error&) {
    ::kill(pid, SIGTERM);
  }
  socket = link::UniqueFd();
  ::kill(pid, SIGCONT);  // somebody may have stopped it
  if (reaped_within(pid, end_limit)) return;
  ::kill(pid, SIGKILL);
  reaped_within(pid, end_limit);
}

void Zygote::spawn(std::uint32_t link_id, link::LinkEnd::Descriptors descriptors) {
  const link::UniqueFd memory(descriptors.memory);
  const link::UniqueFd socket(descriptors.socket);
  const int both[] = {memory.get(), socket.get()};
  send_request(socket_, {ZygoteRequest::What::spawn, link_id, 0}, both);
}

void Zygote::signal(std::uint32_t link_id, int number) {
  send_request(socket_, {ZygoteRequest::What::signal, link_id, number}, {});
}

bool Zygote::next_event(ZygoteEvent& event) {
  switch (link::receive_message(socket_, std::as_writable_bytes(std::span(&event, 1)))) {
    case link::Received::yes:
      return true;
    case link::Received::empty:
      return false;
    case link::Received::closed:
    case link::Received::descriptors_lost:
      break;
  }
  throw_gone();
}

}  // namespace rankpool::worker
