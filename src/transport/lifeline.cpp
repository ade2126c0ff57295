#include "transport/lifeline.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <span>
#include <string>
#include <utility>

#include "link/thread.hpp"

namespace rankpool::transport {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto between_reminders = 1ms;

// What is said on a line.
constexpr char bell_byte = '!';
constexpr char beat_byte = '~';
constexpr char bye_byte = '.';

void say(int fd, char what) noexcept {
  // A full line holds bytes enough to wake anybody; that a closed one wakes nobody is no reason to stop here.
  static_cast<void>(::send(fd, &what, 1, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/// After a cut TCP would try again at ever longer intervals, and find a mended line late. Kernels before 6.15 cannot.
void limit_backoff(int fd, std::chrono::milliseconds longest) noexcept {
#ifdef TCP_RTO_MAX_MS
  constexpr int option = TCP_RTO_MAX_MS;
#else
  constexpr int option = 44;  // the C library is older than that, which the kernel need not be
#endif
  const auto value = static_cast<int>(std::clamp<std::int64_t>(longest.count(), 1000, 120'000));
  ::setsockopt(fd, IPPROTO_TCP, option, &value, sizeof value);
}

}  // namespace

/// What came on a line.
struct Lifeline::Heard {
  bool anything = false;
  bool bell = false;
  bool bye = false;
  bool end = false;

  explicit Heard(int fd) noexcept {
    std::array<char, 256> bytes;
    while (true) {
      const ssize_t count = ::recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        end = count == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
        return;
      }
      anything = true;
      for (const char one : std::span(bytes).first(static_cast<std::size_t>(count))) {
        bell |= one == bell_byte;
        bye |= one == bye_byte;
      }
    }
  }
};

namespace {

/// For poll: rounded up, -1 if negative.
int milliseconds_of(Clock::duration wait) noexcept {
  if (wait < 0ms) return -1;
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(wait).count());
}

}  // namespace

link::UniqueFd watch_process(int pid) noexcept {
  return link::UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

Lifeline::Lifeline(std::vector<LineEnd> lines, link::Bell& bell, Pulse pulse)
    : lines_(new Line[lines.size()]),
      count_(lines.size()),
      bell_(bell),
      pulse_(std::move(pulse)),
      stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!stop_) link::throw_errno("rankpool: eventfd (raise the limit of open files: ulimit -n)");
  for (std::size_t rank = 0; rank < count_; ++rank) {
    Line& line = lines_[rank];
    line.end = std::move(lines[rank]);
    line.end.judged = line.end.judged && line.end.socket && pulse_.silence > 0ms;
    line.heard = Clock::now();
    if (line.end.judged) limit_backoff(line.end.socket.get(), pulse_.interval);
  }
  watcher_ = link::start_thread("that watches the other ranks", [this] { watch(); });
}

Lifeline::~Lifeline() {
  ::eventfd_write(stop_.get(), 1);
  watcher_.join();
}

void Lifeline::ring(int rank) noexcept {
  Line& line = lines_[static_cast<std::size_t>(rank)];
  if (!line.end.socket) return;
  say(line.end.socket.get(), bell_byte);
  line.rung = Clock::now();
}

void Lifeline::remind(int rank) noexcept {
  const Line& line = lines_[static_cast<std::size_t>(rank)];
  if (line.end.socket && Clock::now() - line.rung >= between_reminders) ring(rank);
}

std::vector<Lifeline::Loss> Lifeline::losses() {
  told_ = lost_.load(std::memory_order_acquire);
  std::vector<Loss> losses;
  for (std::size_t rank = 0; rank < count_; ++rank) {
    Line& line = lines_[rank];
    const State state = line.state.load(std::memory_order_acquire);
    if (line.told || (state != State::ended && state != State::silent)) continue;
    line.told = true;
    losses.push_back({static_cast<int>(rank), state == State::silent});
  }
  return losses;
}

bool Lifeline::up(int rank) const noexcept {
  return lines_[static_cast<std::size_t>(rank)].state.load(std::memory_order_acquire) == State::up;
}

void Lifeline::give_up(int rank) noexcept {
  Line& line = lines_[static_cast<std::size_t>(rank)];
  line.told = true;
  change(line, State::given_up);
  // Not closed: the watcher may be about to look at it.
  if (line.end.socket) ::shutdown(line.end.socket.get(), SHUT_RDWR);
}

void Lifeline::leave() noexcept {
  for (std::size_t rank = 0; rank < count_; ++rank) {
    if (lines_[rank].end.socket) say(lines_[rank].end.socket.get(), bye_byte);
  }
}

/// The first word counts.
void Lifeline::change(Line& line, State to) noexcept {
  State now = State::up;
  if (!line.state.compare_exchange_strong(now, to, std::memory_order_acq_rel)) return;
  if (to != State::left) any_down_.store(true, std::memory_order_relaxed);
  if (to == State::ended || to == State::silent) lost_.fetch_add(1, std::memory_order_release);
}

/// False: the line has ended, and need not be looked at again.
bool Lifeline::serve(Line& line) noexcept {
  if (line.end.process) {
    const link::RankPageData* const page = line.end.page;
    change(line, page != nullptr && page->leaves.load(std::memory_order_acquire) ? State::left : State::ended);
    bell_.ring();
    return false;
  }
  const Heard heard(line.end.socket.get());
  if (heard.anything) line.heard = Clock::now();
  if (heard.bye) change(line, State::left);
  if (heard.end) change(line, State::ended);
  if (heard.bell || heard.bye || heard.end) bell_.ring();
  return !heard.end;
}

void Lifeline::beat() noexcept {
  for (std::size_t rank = 0; rank < count_; ++rank) {
    if (lines_[rank].end.socket) say(lines_[rank].end.socket.get(), beat_byte);
  }
}

void Lifeline::judge() noexcept {
  const auto now = Clock::now();
  for (std::size_t rank = 0; rank < count_; ++rank) {
    Line& line = lines_[rank];
    if (!line.end.judged || now - line.heard <= pulse_.silence || !up(static_cast<int>(rank))) continue;
    change(line, State::silent);
    // If that rank comes back, this is what it finds: it must not act again.
    ::shutdown(line.end.socket.get(), SHUT_RDWR);
    bell_.ring();
  }
}

void Lifeline::check_owner(Owner& owner, bool overslept) const noexcept {
  const auto now = Clock::now();
  const std::uint64_t turns = turns_.load(std::memory_order_relaxed);
  if (overslept || turns != owner.turns) owner = {turns, now};
  if (now - owner.moved <= pulse_.stuck) return;
  const std::string& words = pulse_.last_words;
  static_cast<void>(::write(STDERR_FILENO, words.data(), words.size()) < 0);  // there is nobody to tell
  std::_Exit(1);
}

void Lifeline::watch() noexcept {
  std::vector<pollfd> watched{{stop_.get(), POLLIN, 0}};
  std::vector<Line*> lines{nullptr};
  bool beats = false;
  for (std::size_t rank = 0; rank < count_; ++rank) {
    const LineEnd& end = lines_[rank].end;
    if (!end.socket && !end.process) continue;
    watched.push_back({end.socket ? end.socket.get() : end.process.get(), POLLIN, 0});
    lines.push_back(&lines_[rank]);
    beats |= static_cast<bool>(end.socket);
  }
  Owner owner;
  bool guarded = false;
  for (auto next_beat = Clock::now();;) {
    if (beats && Clock::now() >= next_beat) {
      beat();
      judge();
      next_beat = Clock::now() + pulse_.interval;
    }
    auto wait = beats ? std::max<Clock::duration>(next_beat - Clock::now(), 0ms) : Clock::duration(-1ms);
    if (guarded) wait = beats ? std::min<Clock::duration>(wait, pulse_.stuck / 4) : pulse_.stuck / 4;
    const auto until = Clock::now() + wait;
    const int count = ::poll(watched.data(), watched.size(), milliseconds_of(wait));
    if (count > 0 && watched.front().revents != 0) return;
    // Who has not run itself cannot tell how long others were silent: they get their time anew.
    const bool overslept = (beats || guarded) && Clock::now() > until + pulse_.interval;
    for (std::size_t i = 1; i < watched.size(); ++i) {
      if (overslept) lines[i]->heard = Clock::now();
      // A negative descriptor is passed over by poll. It is closed by the other thread, which may still ring.
      if (count > 0 && watched[i].revents != 0 && !serve(*lines[i])) watched[i].fd = -1;
    }
    if (guarded) check_owner(owner, overslept);
    if (!guarded && pulse_.stuck > 0ms && any_down_.load(std::memory_order_relaxed)) {
      guarded = true;
      owner = {turns_.load(std::memory_order_relaxed), Clock::now()};
    }
  }
}

}  // namespace rankpool::transport
