// All ranks send each other frames and check the answers, while something is done to one of them.
//
//   rank_exchange [KEY=VALUE]...
//     do=COMMAND     once every rank has answered: `kill:R`, `stop:R`, or what the cluster understands: `cut:h3`
//     undo=MS:COMMAND  so long after that: `continue:R`, `heal:h3`
//     kills=N        kill the last N ranks one after the other, each when the one before is lost
//     losses=N       wait until rank 0 has lost N ranks (0)
//     dead=R         wait until the process of that rank has ended
//     ms=N           then go on for so long (300), with an answer of every rank that is left at the end
//     load=N         frames under way to each rank (4); 0: one now and then
//     every=MS       how often that is (10)
//     bytes=N        the most in a frame (2000); more than 64000: in segments
//     exit=N         status of rank 0 (0)
//     linger=MS      ranks but 0 stay so much longer
//
// Rank 0 prints what it sees; the program ends by the time limit of its test if anything hangs.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "transport/transport.hpp"

namespace {

using namespace rankpool;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

std::map<std::string, std::string> wishes;
std::string wish(const std::string& key, const std::string& otherwise) {
  const auto found = wishes.find(key);
  return found == wishes.end() ? otherwise : found->second;
}
long number(const std::string& key, long otherwise) { return std::stol(wish(key, std::to_string(otherwise))); }
double number_of(const char* variable) {
  const char* const text = std::getenv(variable);
  return text != nullptr ? std::atof(text) : 0;
}

enum What : std::uint32_t { ping = 1, pong, gone, stop, bye };

std::vector<std::byte> content(std::uint64_t seed, std::size_t most) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(random() % (most + 1));
  for (std::size_t at = 0; at < bytes.size(); at += 64) bytes[at] = static_cast<std::byte>(random());
  return bytes;
}

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "rank_exchange: %s\n", what.c_str());
  std::_Exit(3);
}

class Rank final : public transport::FrameSink {
 public:
  Rank() {
    transport::Hello hello;
    hello.pid = ::getpid();
    hello.page_fd = page_.fd();
    hello.page_magic = page_->magic;
    hello.recovery = number_of("RANKPOOL_RECOVERY") != 0;
    hello.silence_ms = static_cast<std::int32_t>(1000 * number_of("RANKPOOL_HEARTBEAT"));
    ::gethostname(hello.host.data(), hello.host.size() - 1);
    const auto begin = Clock::now();
    transport_ = transport::Transport::start(hello, page_);
    start_ms_ = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    peers_.resize(static_cast<std::size_t>(transport_->size()));
    peers_[static_cast<std::size_t>(transport_->rank())].lost = true;  // not a partner
  }

  int rank() const { return transport_->rank(); }

  /// Rank 0 decides what happens.
  int lead() {
    std::printf("started in %.1f ms\n", start_ms_);
    serve([this] { return everybody([](const Peer& peer) { return peer.answered > 0; }); });
    std::printf("all answer\n");
    std::fflush(stdout);
    const std::jthread actor([this] { act(); });
    serve([this] { return losses_ >= number("losses", number("kills", 0)); });
    if (const long which = number("dead", 0); which > 0) {
      const int pid = transport_->hello(static_cast<int>(which)).pid;
      serve([pid] { return ::kill(pid, 0) != 0; });
    }
    const auto end = Clock::now() + std::chrono::milliseconds(number("ms", 300));
    serve([&] { return Clock::now() > end; });
    for (Peer& peer : peers_) peer.before = peer.sent;
    serve([this] { return everybody([](const Peer& peer) { return peer.answered > peer.before; }); });
    std::printf("all that are left answer; %llu answers in all\n", static_cast<unsigned long long>(answers_));
    for (std::size_t other = 1; other < peers_.size(); ++other) {
      if (peers_[other].longest > 1s) std::printf("rank %zu was silent for more than a second\n", other);
    }
    std::fflush(stdout);
    quiet_ = true;
    for (int to = 1; to < transport_->size(); ++to) send(to, stop, 0);
    serve([this] { return everybody([](const Peer& peer) { return peer.said_bye; }); });
    return leave(static_cast<int>(number("exit", 0)));
  }

  int follow() {
    serve([this] { return quiet_; });
    std::this_thread::sleep_for(std::chrono::milliseconds(number("linger", 0)));
    send(0, bye, 0);
    return leave(0);
  }

 private:
  struct Peer {
    bool lost = false;
    bool said_bye = false;
    std::uint64_t sent = 0;      // pings
    std::uint64_t answered = 0;  // of those
    std::uint64_t heard = 0;     // pings of that rank
    std::uint64_t before = 0;
    Clock::time_point last{};
    Clock::time_point answer{};
    Clock::duration longest{};  // between two answers
  };

  bool everybody(bool (*condition)(const Peer&)) const {
    return std::all_of(peers_.begin(), peers_.end(), [&](const Peer& peer) { return peer.lost || condition(peer); });
  }

  /// One thing after another; from a thread, so that it hits the ranks in the middle of what they do.
  void act() {
    std::string todo = wish("do", "");
    const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20 + std::random_device()() % 50)); };
    for (int i = 0; i < number("kills", 0); ++i) {
      while (losses_ < i) std::this_thread::sleep_for(1ms);
      pause();
      command("kill:" + std::to_string(transport_->size() - 1 - i));
    }
    if (todo.empty()) return;
    pause();
    command(todo);
    const std::string undo = wish("undo", "");
    if (undo.empty()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(std::stol(undo)));
    command(undo.substr(undo.find(':') + 1));
  }
  void command(const std::string& todo) {
    acted_ = Clock::now();
    for (const auto& [name, signal] : {std::pair{"kill:", SIGKILL}, {"stop:", SIGSTOP}, {"continue:", SIGCONT}}) {
      if (!todo.starts_with(name)) continue;
      ::kill(transport_->hello(std::stoi(todo.substr(std::strlen(name)))).pid, signal);
      return;
    }
    const char* const control = std::getenv("CLUSTER_CONTROL");
    const int fd = control != nullptr ? ::open(control, O_WRONLY) : -1;
    std::string line = todo + "\n";
    std::replace(line.begin(), line.end(), ':', ' ');
    if (fd < 0 || ::write(fd, line.data(), line.size()) < 0) fail("no cluster to do this: " + todo);
    ::close(fd);
  }

  template <class Done>
  void serve(Done&& done) {
    for (int idle = 0; !done();) {
      if (!quiet_) offer();
      if (transport_->progress(*this)) {
        idle = 0;
      } else if (++idle > 50) {
        page_->bell.wait([this] { return transport_->pending(); }, transport_->quiet() ? 10ms : 1ms);
      }
    }
  }

  void offer() {
    const auto load = static_cast<std::uint64_t>(number_load_);
    for (int to = 0; to < transport_->size(); ++to) {
      Peer& peer = peers_[static_cast<std::size_t>(to)];
      if (peer.lost) continue;
      const bool now = load == 0 ? peer.sent == peer.answered && Clock::now() - peer.last > every_
                                 : peer.sent - peer.answered < load;
      if (!now) continue;
      peer.last = Clock::now();
      send(to, ping, peer.sent++);
    }
  }

  std::uint64_t seed(int from, int to, std::uint64_t which) const {
    return (static_cast<std::uint64_t>(from) * 64 + static_cast<std::uint64_t>(to)) * 1'000'003 + which;
  }
  void send(int to, What what, std::uint64_t which) {
    const bool full = what == ping || what == pong;
    const auto bytes = full ? content(what == ping ? seed(rank(), to, which) : seed(to, rank(), which), most_)
                            : std::vector<std::byte>();
    wire::Header head;
    head.kind = wire::Kind::test;
    head.token = which * 8 + what;
    head.from.rank = rank();
    head.to.rank = to;
    if (bytes.size() <= 64000) return transport_->send(to, head, bytes);
    auto segment = link::Segment::create(bytes.size());
    std::memcpy(segment->writable_data(), bytes.data(), bytes.size());
    transport_->send(to, head, {}, {}, {segment, 0, bytes.size()});
  }

  void on_frame(const wire::Header& head, std::span<const std::byte> body, link::Slice slice) override {
    const int from = head.from.rank;
    Peer& peer = peers_.at(static_cast<std::size_t>(from));
    if (peer.lost) fail("a frame of a lost rank");
    const auto what = static_cast<What>(head.token % 8);
    const std::uint64_t which = head.token / 8;
    if (what == ping || what == pong) {
      const bool mine = what == pong;
      std::uint64_t& due = mine ? peer.answered : peer.heard;
      if (which != due++) fail("a frame is missing or out of order");
      const auto expected = content(mine ? seed(rank(), from, which) : seed(from, rank(), which), most_);
      const auto got = slice ? slice.bytes() : body;
      if (!std::equal(got.begin(), got.end(), expected.begin(), expected.end())) fail("a frame is damaged");
      if (!mine) return send(from, pong, which);
      ++answers_;
      const auto now = Clock::now();
      if (which > 0) peer.longest = std::max(peer.longest, now - peer.answer);
      peer.answer = now;
    } else if (what == gone) {
      lose(static_cast<int>(which));
    } else if (what == stop) {
      quiet_ = true;
    } else {
      peer.said_bye = true;
    }
  }

  void on_rank_down(int which, bool silent) override {
    const double ms = std::chrono::duration<double, std::milli>(Clock::now() - acted_.load()).count();
    if (which == 0) std::_Exit(1);
    if (rank() != 0) return;
    std::printf("rank %d is %s after %.2f ms\n", which, silent ? "silent" : "down", ms);
    std::fflush(stdout);
    if (number_of("RANKPOOL_RECOVERY") == 0) std::_Exit(1);
    lose(which);
    for (int to = 1; to < transport_->size(); ++to) send(to, gone, static_cast<std::uint64_t>(which));
  }
  void lose(int which) {
    Peer& peer = peers_.at(static_cast<std::size_t>(which));
    if (!peer.lost) ++losses_;
    peer.lost = true;
    transport_->lose(which);
  }

  int leave(int status) {
    while (!transport_->quiet()) transport_->progress(*this);
    const bool whole = transport_->finish();
    if (rank() == 0) std::printf("finished %s\n", whole ? "together" : "without the lost");
    std::fflush(stdout);
    if (!whole) std::_Exit(status);
    return status;
  }

  link::RankPage page_ = link::RankPage::create();
  std::unique_ptr<transport::Transport> transport_;
  std::vector<Peer> peers_;
  const long number_load_ = number("load", 4);
  const std::size_t most_ = static_cast<std::size_t>(number("bytes", 2000));
  const std::chrono::milliseconds every_{number("every", 10)};
  double start_ms_ = 0;
  std::uint64_t answers_ = 0;
  std::atomic<long> losses_ = 0;
  bool quiet_ = false;
  std::atomic<Clock::time_point> acted_{};
};

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string text = argv[i];
    wishes[text.substr(0, text.find('='))] = text.substr(text.find('=') + 1);
  }
  Rank rank;
  return rank.rank() == 0 ? rank.lead() : rank.follow();
}
