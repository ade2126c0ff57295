#include "engine/rank_deaths.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace rankpool::engine {
namespace {

using namespace std::chrono_literals;

constexpr auto first_pause = 20ms;
constexpr auto longest_pause = 3s;

/// In one write, so that the lines of several processes do not mix, and whatever thread holds a stream.
void say(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

/// What the program has printed shall be seen, unless one of its threads is just printing.
void flush_stdout() {
  if (::ftrylockfile(stdout) != 0) return;
  ::fflush_unlocked(stdout);
  ::funlockfile(stdout);
}

std::string name_of(const Layout& layout, int rank) {
  return "rank " + std::to_string(rank) + " (host " + layout.hosts[static_cast<std::size_t>(rank)] + ")";
}

}  // namespace

void RankDeaths::on_rank_down(int rank, bool silent) {
  const Layout& layout = router_.layout();
  if (rank == 0) std::_Exit(1);  // the children go with their zygote
  if (layout.rank != 0) return;
  if (!layout.recovery) end_job(rank, silent);
  if (!down_.insert(rank).second) return;

  const int left = layout.ranks() - static_cast<int>(down_.size());
  say("rankpool: " + name_of(layout, rank) +
      (silent ? " is lost: nothing was heard of it for too long" : " is lost: its process has ended") +
      "; the job goes on with " +
      (left == 1 ? "rank 0 alone" : "the " + std::to_string(left) + " ranks that are left") +
      ", and what was under way there is run again\n");
  const wire::RankLost lost{.rank = rank,
                            .silent = silent ? 1u : 0u,
                            .slots = 0,  // each engine tells its processes how many are left
                            .reserved = 0,
                            .host = wire::host_name(layout.hosts[static_cast<std::size_t>(rank)])};
  for (int other = 0; other < layout.ranks(); ++other) {
    if (down_.contains(other)) continue;
    router_.send({.to = {other, 0}, .token = static_cast<std::uint64_t>(rank), .kind = wire::Kind::rank_lost},
                 wire::bytes_of(lost));
  }
}

void RankDeaths::end_job(int rank, bool silent) const {
  const Layout& layout = router_.layout();
  flush_stdout();
  say("rankpool: " + name_of(layout, rank) +
      (silent ? " is lost (nothing was heard of it for too long)" : " is lost (its process has ended)") +
      ", so the job ends: that is MPI's rule; a job that is started with `rankpool-launch -n " +
      std::to_string(layout.ranks()) + " -- " + program_invocation_name + "` goes on without it\n");
  std::_Exit(1);
}

void RankDeaths::lost(int rank) {
  if (router_.layout().window != wire::WindowMode::direct) return;
  windows_.rank_ended(rank);
  recent_.push_back({rank, first_pause, Clock::now() + first_pause});
}

RankDeaths::Clock::time_point RankDeaths::look() {
  const auto now = Clock::now();
  auto next = Clock::time_point::max();
  for (Recent& one : recent_) {
    if (now >= one.next) {
      windows_.rank_ended(one.rank);
      one.pause *= 2;
      one.next = now + one.pause;
    }
    next = std::min(next, one.next);
  }
  std::erase_if(recent_, [](const Recent& one) { return one.pause > longest_pause; });
  return next;
}

}  // namespace rankpool::engine
