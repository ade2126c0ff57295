// How the lines between hosts are made.
#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "transport/lifeline.hpp"

namespace rankpool::transport {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto attempt_limit = 400ms;  // for one address: another may answer
constexpr auto retry_pause = 20ms;

/// Each side of a line says this first: the connecting one at once, the other in return.
struct Greeting {
  std::uint64_t magic = 0x72616e6b6c696e65;  // a stranger that knows no protocol of ours does not get further
  std::uint64_t key = 0;                     // the receiver's
  std::int64_t rank = 0;                     // the sender's
};

std::array<std::uint32_t, 4> own_addresses() {
  std::vector<std::uint32_t> found, loopback;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET || (one->ifa_flags & IFF_UP) == 0) continue;
    sockaddr_in address{};
    std::memcpy(&address, one->ifa_addr, sizeof address);
    ((one->ifa_flags & IFF_LOOPBACK) != 0 ? loopback : found).push_back(address.sin_addr.s_addr);
  }
  ::freeifaddrs(list);
  std::array<std::uint32_t, 4> addresses{};
  // The loopback is for ranks in containers that share a network, and must not be lost among many interfaces.
  if (!loopback.empty()) found.resize(std::min(found.size(), addresses.size() - 1));
  found.insert(found.end(), loopback.begin(), loopback.end());
  std::copy_n(found.begin(), std::min(found.size(), addresses.size()), addresses.begin());
  return addresses;
}

void set_option(int fd, int level, int name) noexcept {
  const int on = 1;
  ::setsockopt(fd, level, name, &on, sizeof on);  // without it the line works all the same
}

/// A connection on which greetings are exchanged.
struct Pending {
  link::UniqueFd fd;
  Clock::time_point until;
  Greeting heard;
  std::size_t bytes = 0;  // of `heard`
  int rank = -1;          // whom we connect to; -1: somebody who connected to us
  bool connected = false;
};

class LineMaker {
 public:
  LineMaker(const LineListener& listener, const std::vector<LineAddress>& table, int mine,
            const std::vector<bool>& wanted)
      : listener_(listener),
        table_(table),
        mine_(mine),
        wanted_(wanted),
        lines_(table.size()),
        attempts_(table.size()) {}

  std::vector<link::UniqueFd> run(std::chrono::milliseconds limit) {
    const auto deadline = Clock::now() + limit;
    while (missing() && Clock::now() < deadline) {
      call_lower_ranks();
      wait();
      std::erase_if(pending_, [&](Pending& one) { return !serve(one) || Clock::now() > one.until; });
    }
    return std::move(lines_);
  }

 private:
  struct Attempt {
    std::size_t next_address = 0;
    Clock::time_point not_before{};
  };

  bool missing() const {
    for (std::size_t rank = 0; rank < lines_.size(); ++rank) {
      if (wanted_[rank] && !lines_[rank]) return true;
    }
    return false;
  }

  void call_lower_ranks() {
    for (int rank = 0; rank < mine_; ++rank) {
      const auto at = static_cast<std::size_t>(rank);
      if (!wanted_[at] || lines_[at] || table_[at].port == 0 || Clock::now() < attempts_[at].not_before) continue;
      if (std::any_of(pending_.begin(), pending_.end(), [&](const Pending& one) { return one.rank == rank; })) continue;
      call(rank);
    }
  }

  void call(int rank) {
    const auto at = static_cast<std::size_t>(rank);
    const LineAddress& there = table_[at];
    Attempt& attempt = attempts_[at];
    const std::uint32_t ip = there.ipv4[attempt.next_address];
    attempt.next_address = (attempt.next_address + 1) % there.ipv4.size();
    if (attempt.next_address == 0) attempt.not_before = Clock::now() + retry_pause;
    if (ip == 0) return;
    Pending one;
    one.fd = link::UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!one.fd) return;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(there.port);
    address.sin_addr.s_addr = ip;
    const int code = ::connect(one.fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    if (code != 0 && errno != EINPROGRESS) return;
    one.until = Clock::now() + attempt_limit;
    one.rank = rank;
    pending_.push_back(std::move(one));
  }

  void wait() {
    std::vector<pollfd> fds{{listener_.fd(), POLLIN, 0}};
    for (const Pending& one : pending_) {
      const bool calling = one.rank >= 0 && !one.connected;
      fds.push_back({one.fd.get(), static_cast<short>(calling ? POLLOUT : POLLIN), 0});
    }
    if (::poll(fds.data(), fds.size(), 10) <= 0) return;
    if ((fds.front().revents & POLLIN) == 0) return;
    while (true) {
      Pending one;
      one.fd = link::UniqueFd(::accept4(listener_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!one.fd) return;
      one.until = Clock::now() + attempt_limit;
      pending_.push_back(std::move(one));
    }
  }

  bool greet(Pending& one, int rank) {
    Greeting mine;
    mine.key = table_[static_cast<std::size_t>(rank)].key;
    mine.rank = mine_;
    return ::send(one.fd.get(), &mine, sizeof mine, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof mine;
  }

  /// False: done with it, whether it became a line or not.
  bool serve(Pending& one) {
    if (one.rank >= 0 && !one.connected) {
      int error = 0;
      socklen_t size = sizeof error;
      if (::getsockopt(one.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) return false;
      pollfd ready{one.fd.get(), POLLOUT, 0};
      if (::poll(&ready, 1, 0) == 0) return true;
      if (!greet(one, one.rank)) return false;
      one.connected = true;
    }
    auto* const into = reinterpret_cast<std::byte*>(&one.heard);
    const ssize_t count = ::recv(one.fd.get(), into + one.bytes, sizeof one.heard - one.bytes, MSG_DONTWAIT);
    if (count == 0) return false;
    if (count < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    one.bytes += static_cast<std::size_t>(count);
    if (one.bytes == sizeof one.heard) finish(one);
    return one.bytes < sizeof one.heard;
  }

  void finish(Pending& one) {
    const Greeting& heard = one.heard;
    if (heard.magic != Greeting{}.magic || heard.key != listener_.address().key) return;
    if (one.rank >= 0 ? heard.rank != one.rank
                      : heard.rank <= mine_ || heard.rank >= static_cast<std::int64_t>(table_.size())) {
      return;
    }
    const auto at = static_cast<std::size_t>(heard.rank);
    if (!wanted_[at] || (one.rank < 0 && !greet(one, static_cast<int>(heard.rank)))) return;
    set_option(one.fd.get(), IPPROTO_TCP, TCP_NODELAY);
    set_option(one.fd.get(), SOL_SOCKET, SO_KEEPALIVE);
    lines_[at] = std::move(one.fd);  // the latest: the other side has given up the ones before
  }

  const LineListener& listener_;
  const std::vector<LineAddress>& table_;
  const int mine_;
  const std::vector<bool>& wanted_;
  std::vector<link::UniqueFd> lines_;
  std::vector<Attempt> attempts_;
  std::vector<Pending> pending_;
};

}  // namespace

LineListener::LineListener() noexcept {
  try {
    if (::getrandom(&address_.key, sizeof address_.key, 0) != sizeof address_.key) return;
    address_.ipv4 = own_addresses();
    link::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (!fd || ::bind(fd.get(), generic, sizeof address) != 0 || ::listen(fd.get(), SOMAXCONN) != 0 ||
        ::getsockname(fd.get(), generic, &size) != 0) {
      return;
    }
    fd_ = std::move(fd);
    address_.port = ntohs(address.sin_port);
  } catch (...) {
    address_ = {};  // no memory: the lines will be missing, nothing else
  }
}

std::vector<link::UniqueFd> connect_lines(const LineListener& listener, const std::vector<LineAddress>& table, int mine,
                                          const std::vector<bool>& wanted, std::chrono::milliseconds limit) {
  return LineMaker(listener, table, mine, wanted).run(limit);
}

}  // namespace rankpool::transport
