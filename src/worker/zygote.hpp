// The process from which all children of a rank are forked.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "link/link.hpp"
#include "link/rank_page.hpp"

namespace rankpool::worker {

/// What a new child knows about itself; its link is not yet opened.
struct ChildStart {
  std::uint32_t link_id = 0;               ///< its number on its rank: the link part of its address
  link::LinkEnd::Descriptors descriptors;  ///< for LinkEnd::open
  link::RankPageData* page = nullptr;      ///< the page of its rank, inherited
};

/// Body of every child; its return value becomes the exit status. Runs single threaded, in its own process group, with
/// the signal mask and dispositions that the rank had when the zygote was made, all granted cores, and empty stdin.
using ChildMain = int (*)(const ChildStart&);

/// Something the zygote reports. Reports about one child come in order.
struct ZygoteEvent {
  enum class What : std::uint32_t { forked, fork_failed, ended };
  What what = What::forked;
  std::uint32_t link_id = 0;
  pid_t pid = 0;
  int status = 0;             ///< `ended`: the wait status; `fork_failed`: errno
  std::uint64_t max_rss = 0;  ///< `ended`: bytes
};

/// Handle of the zygote in its rank. It was forked before MPI and before any thread, so children are small, have no MPI
/// state, and cost about 0.2 ms. It ends with the thread that made it (parent-death signal), and at SIGTERM; all
/// children and the processes in their groups end with it. A child that ends leaves nobody behind in its group either.
/// Not thread-safe. In a process forked from its owner, the handle does nothing.
class Zygote {
 public:
  Zygote() noexcept = default;
  /// Forks the zygote. `page` must be a live mapping; it is how the zygote wakes the engine (zygote_events, then the
  /// bell). Children get the cores of `affinity_pid`'s mask (0: this process's own). @throws std::system_error
  static Zygote start(link::RankPageData& page, ChildMain child_main, pid_t affinity_pid);
  Zygote(Zygote&&) noexcept;
  Zygote& operator=(Zygote&&) noexcept;
  /// Ends the zygote and all children at once (SIGKILL) and waits for the zygote.
  ~Zygote();

  explicit operator bool() const noexcept { return socket_ >= 0; }
  pid_t pid() const noexcept { return pid_; }
  /// Asks for one more child; closes `descriptors` here. An event `forked` or `fork_failed` follows. Blocks only when
  /// hundreds of requests are under way, and then 10 s at most. @throws std::system_error if the zygote is gone or
  /// stuck
  void spawn(std::uint32_t link_id, link::LinkEnd::Descriptors descriptors);
  /// Sends a signal to a child if it still lives; exact, because only the zygote reaps. Blocks and throws as `spawn`.
  void signal(std::uint32_t link_id, int number);
  /// Next report, without blocking. @throws std::system_error if the zygote is gone; a killed one cannot move
  /// `zygote_events`, so look at least once a second whatever that says.
  bool next_event(ZygoteEvent& event);

 private:
  void end() noexcept;

  pid_t pid_ = -1;
  pid_t owner_ = -1;
  int socket_ = -1;
};

}  // namespace rankpool::worker
