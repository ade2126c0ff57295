#include "transport/lifeline.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <utility>

namespace rankpool::transport {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto between_reminders = std::chrono::milliseconds(1);

/// Takes all that has come. False at the end of the line.
bool drain(int fd) noexcept {
  std::array<std::byte, 256> bytes;
  while (true) {
    const ssize_t count = ::recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (count == static_cast<ssize_t>(bytes.size())) continue;
    if (count < 0 && errno == EINTR) continue;
    return count > 0 || (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
  }
}

}  // namespace

Lifeline::Lifeline(std::vector<link::UniqueFd> lines, link::Bell& bell)
    : bell_(bell), stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!stop_) link::throw_errno("rankpool: eventfd (raise the limit of open files: ulimit -n)");
  for (link::UniqueFd& fd : lines) lines_.push_back({std::move(fd), {}});
  // Signals are for the threads that were there before.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    watcher_ = std::thread([this] { watch(); });
  } catch (...) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Lifeline::~Lifeline() {
  ::eventfd_write(stop_.get(), 1);
  watcher_.join();
}

void Lifeline::ring(int rank) noexcept {
  Line& line = lines_[static_cast<std::size_t>(rank)];
  if (!line.fd) return;
  // A full line holds bytes enough to wake anybody; that a closed one wakes nobody is no reason to stop here.
  static_cast<void>(::send(line.fd.get(), "!", 1, MSG_DONTWAIT | MSG_NOSIGNAL));
  line.rung = Clock::now();
}

void Lifeline::remind(int rank) noexcept {
  Line& line = lines_[static_cast<std::size_t>(rank)];
  if (line.fd && Clock::now() - line.rung >= between_reminders) ring(rank);
}

void Lifeline::watch() noexcept {
  std::vector<pollfd> watched{{stop_.get(), POLLIN, 0}};
  for (const Line& line : lines_) {
    if (line.fd) watched.push_back({line.fd.get(), POLLIN, 0});
  }
  while (true) {
    if (::poll(watched.data(), watched.size(), -1) < 0) continue;
    if (watched.front().revents != 0) return;
    for (std::size_t i = 1; i < watched.size(); ++i) {
      // A negative descriptor is passed over by poll. It is closed by the other thread, which may still ring.
      if (watched[i].revents != 0 && !drain(watched[i].fd)) watched[i].fd = -1;
    }
    bell_.ring();
  }
}

}  // namespace rankpool::transport
