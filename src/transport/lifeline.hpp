// Who is alive: a line to each rank, which tells when it ends; between hosts also a doorbell for engines that sleep.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "link/bell.hpp"
#include "link/descriptors.hpp"
#include "link/rank_page.hpp"

namespace rankpool::transport {

/// Where a rank can be reached, for all others to know.
struct LineAddress {
  std::uint64_t key = 0;                ///< random: tells a rank of this job from whoever else connects
  std::array<std::uint32_t, 4> ipv4{};  ///< of its host, in network order, the loopback last; 0: none
  std::uint16_t port = 0;               ///< in host order; 0: this rank has no listener
};

/// A rank's listening socket, open while the lines are made.
class LineListener {
 public:
  /// Listens on all interfaces. A rank that cannot (no descriptors, no network) gets a listener without a port.
  LineListener() noexcept;

  const LineAddress& address() const noexcept { return address_; }
  int fd() const noexcept { return fd_.get(); }

 private:
  link::UniqueFd fd_;
  LineAddress address_;
};

/// Makes the lines of rank `mine`: to every rank of `table` that `wanted` names (wanted[r]: a line between r and `mine`
/// is due, at both of them). The higher rank connects, both prove that they know the other's key. All ranks at the same
/// time; gives up what is not there after `limit`. Descriptors by rank, empty ones where there is no line.
std::vector<link::UniqueFd> connect_lines(const LineListener& listener, const std::vector<LineAddress>& table, int mine,
                                          const std::vector<bool>& wanted, std::chrono::milliseconds limit);

/// The process `pid` of this host as a descriptor that becomes readable when it ends; empty if the system has none.
link::UniqueFd watch_process(int pid) noexcept;

/// One end of a line. Empty: nobody watches that rank.
struct LineEnd {
  link::UniqueFd socket{};                   ///< a connection, or
  link::UniqueFd process{};                  ///< from `watch_process`, for a rank whose memory can be seen
  const link::RankPageData* page = nullptr;  ///< with `process`: of that rank; must outlive the lifeline
  bool judged = false;                       ///< silence counts; sockets only
};

/// How ranks of different hosts hear of each other while they have nothing to say, and what becomes of one that hangs.
struct Pulse {
  std::chrono::milliseconds interval{5000};  ///< between two beats; they also keep the lines open in firewalls
  std::chrono::milliseconds silence{0};      ///< after so much of it a rank is lost; 0: never
  std::chrono::milliseconds stuck{0};        ///< once a rank is lost, `alive` must be called so often; 0: need not
  std::string last_words{};                  ///< with which this process ends if it is not
};

/// Keeps the lines. A thread, which no MPI call is made from, sleeps on them, passes what comes on to the bell, and
/// lets the others hear that this process lives. All other calls are for one thread.
class Lifeline {
 public:
  struct Loss {
    int rank;
    bool silent;  ///< else its end was seen
  };

  /// `bell` must outlive this. @throws std::system_error
  Lifeline(std::vector<LineEnd> lines, link::Bell& bell, Pulse pulse = {});
  /// Closes the lines, which the others take for a loss if `leave` was not called.
  ~Lifeline();
  Lifeline(const Lifeline&) = delete;
  Lifeline& operator=(const Lifeline&) = delete;

  /// The owner still works. MPI can hang for ever when a rank dies: others must not wait for this one then.
  void alive() noexcept { turns_.store(++turn_, std::memory_order_relaxed); }
  /// Rings the bell of that rank; does nothing if there is no connection. One system call.
  void ring(int rank) noexcept;
  /// The same, unless it was rung within the last millisecond.
  void remind(int rank) noexcept;

  /// Has any rank been lost since the last `losses`?
  bool news() const noexcept { return lost_.load(std::memory_order_acquire) != told_; }
  /// The ranks lost since the last call, but for those given up. The bell was rung for each.
  std::vector<Loss> losses();
  /// False once that rank has ended, as planned or not, is silent, or was given up.
  bool up(int rank) const noexcept;
  /// From now on the rank counts as ended, and it is told that this one is done with it.
  void give_up(int rank) noexcept;
  /// The end is near and planned: it is no loss to the others when this process or its lines end.
  void leave() noexcept;

 private:
  enum class State : std::uint8_t {
    up,
    left,    // as planned
    ended,   // without a word
    silent,  // for too long
    given_up
  };
  struct Line {
    LineEnd end;
    std::atomic<State> state{State::up};
    bool told = false;                              // of the loss; owner
    std::chrono::steady_clock::time_point rung{};   // owner
    std::chrono::steady_clock::time_point heard{};  // watcher
  };
  struct Heard;
  struct Owner {  // as the watcher sees it
    std::uint64_t turns = 0;
    std::chrono::steady_clock::time_point moved{};
  };

  void watch() noexcept;
  void check_owner(Owner& owner, bool overslept) const noexcept;
  bool serve(Line& line) noexcept;
  void beat() noexcept;
  void judge() noexcept;
  void change(Line& line, State to) noexcept;

  std::unique_ptr<Line[]> lines_;
  std::size_t count_;
  link::Bell& bell_;
  Pulse pulse_;
  std::atomic<bool> any_down_{false};  // not as planned
  std::atomic<std::uint64_t> turns_{0};
  std::uint64_t turn_ = 0;
  std::atomic<std::uint32_t> lost_{0};
  std::uint32_t told_ = 0;  // of those
  link::UniqueFd stop_;
  std::thread watcher_;
};

}  // namespace rankpool::transport
