// The signals by which the job is asked to end, as they come to the process of a rank.
#pragma once

#include <signal.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "engine/end_guard.hpp"
#include "link/rank_page.hpp"

namespace rankpool::engine {

/// Takes SIGINT, SIGTERM and SIGUSR1 while it lives, each unless the program handles or ignores it. One at a time in a
/// process; made after the zygote, whose children have what was there before. A handler, in whichever thread it runs,
/// leaves a bit for the engine and rings its bell; after SIGINT or SIGTERM the process ends in time even if the engine
/// does nothing.
class Signals {
 public:
  /// `master`: of rank 0, which ends before the others. `page` is that of this rank. @throws std::system_error
  Signals(link::RankPageData& page, bool master, const EndGuard::Manner& manner);
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  /// Puts back what was there before. What has come since the engine last looked is then raised anew.
  ~Signals();

  /// One relaxed load.
  bool pending() const noexcept { return come_.load(std::memory_order_relaxed) != 0; }
  /// The signals that have come since the last call: bit n for signal n.
  std::uint32_t take() noexcept { return come_.exchange(0); }

  EndGuard& guard() noexcept { return *guard_; }

 private:
  static void handle(int signal);
  void note(int signal) noexcept;

  static constexpr std::array<int, 3> numbers{SIGINT, SIGTERM, SIGUSR1};

  link::RankPageData& page_;
  const bool master_;
  const pid_t owner_;
  std::atomic<std::uint32_t> come_{0};
  std::atomic<std::int64_t> first_{0};  // when SIGINT or SIGTERM came first; 0: not yet
  std::unique_ptr<EndGuard> guard_;
  std::array<struct sigaction, numbers.size()> before_{};
  std::array<bool, numbers.size()> taken_{};
};

}  // namespace rankpool::engine
