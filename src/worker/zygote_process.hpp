// What runs in the zygote, and how its rank talks to it.
#pragma once

#include <csignal>
#include <cstdint>

#include "link/rank_page.hpp"
#include "worker/zygote.hpp"

namespace rankpool::worker {

/// From the rank to the zygote; `spawn` comes with the two descriptors of a link. The answers are ZygoteEvents.
struct ZygoteRequest {
  enum class What : std::uint32_t { spawn, signal, end };
  What what = What::spawn;
  std::uint32_t link_id = 0;
  std::int32_t number = 0;  ///< `signal`
};

/// What the zygote is told when it is forked.
struct ZygotePlan {
  int socket = -1;  ///< its end
  link::RankPageData* page = nullptr;
  ChildMain child_main = nullptr;
  pid_t rank = -1;           ///< the process that forks it
  pid_t affinity_pid = 0;    ///< as in Zygote::start
  sigset_t child_mask = {};  ///< what children get; the zygote itself starts with every signal blocked
};

/// The zygote's whole life. noexcept, so that an exception out of a child ends that child, and never unwinds into the
/// frames of the rank that lie below it on the stack.
[[noreturn]] void run_zygote(const ZygotePlan& plan) noexcept;

}  // namespace rankpool::worker
