// What a rank shows to its children and to the other engines of its host.
#pragma once

#include <atomic>
#include <cstdint>

#include "link/bell.hpp"

namespace rankpool::link {

/// One shared page per rank, in a memfd made before the zygote, so that every child has it mapped.
struct RankPageData {
  Bell bell;                                             ///< wakes the engine
  alignas(64) std::atomic<std::uint32_t> zygote_events;  ///< events the zygote has sent; the engine reads its socket
                                                         ///< when this moves
  alignas(64) std::atomic<std::int32_t> busy_workers;  ///< children that run user code now: nobody spins on their cores
  std::atomic<bool> core_is_free;  ///< the engine's last word: fewer workers of this host are busy than it has cores
  std::atomic<bool> leaves;        ///< the rank's work is done: when it ends now, that is no loss
  std::uint64_t magic;             ///< tells a peer that it mapped the right page
};

/// Owns the mapping of a rank page, one's own or a peer's.
class RankPage {
 public:
  /// A new page. @throws std::system_error
  static RankPage create();
  /// Maps the page of process `pid` by its descriptor number there; empty when this host cannot (another host, or
  /// another process namespace), or when `magic` differs.
  static RankPage open_peer(int pid, int fd, std::uint64_t magic) noexcept;

  RankPage() noexcept = default;
  RankPage(RankPage&& other) noexcept;
  RankPage& operator=(RankPage&& other) noexcept;
  ~RankPage();

  explicit operator bool() const noexcept { return data_ != nullptr; }
  RankPageData* operator->() const noexcept { return data_; }
  RankPageData& operator*() const noexcept { return *data_; }
  int fd() const noexcept { return fd_; }

 private:
  RankPageData* data_ = nullptr;
  int fd_ = -1;
};

}  // namespace rankpool::link
