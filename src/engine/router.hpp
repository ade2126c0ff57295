// What the rooms of an engine know of it: where frames go, and who is where.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "link/payload.hpp"
#include "wire/header.hpp"
#include "wire/window_mode.hpp"

namespace rankpool::engine {

/// The job as every engine knows it; the same on all ranks but for `rank` and `cores`.
struct Layout {
  int rank = 0;
  int cores = 1;                   ///< granted to the job on this host
  std::vector<int> slots{1};       ///< by rank
  std::vector<std::string> hosts;  ///< by rank
  wire::WindowMode window = wire::WindowMode::direct;
  std::uint64_t seed = 0;  ///< of rank 0
  bool recovery = false;   ///< the job goes on without ranks that die, but for rank 0
  std::vector<bool> lost;  ///< by rank; empty: none

  bool whole() const noexcept { return lost.empty(); }
  bool lives(int one) const noexcept {
    const auto at = static_cast<std::size_t>(one);
    return at >= lost.size() || !lost[at];
  }
  void lose(int one) {
    lost.resize(slots.size());
    lost[static_cast<std::size_t>(one)] = true;
    slots[static_cast<std::size_t>(one)] = 0;
  }
  int ranks() const noexcept { return static_cast<int>(slots.size()); }
  bool has(int number) const noexcept { return number >= 0 && number < ranks(); }
  int all_slots() const noexcept {
    int sum = 0;
    for (const int n : slots) sum += n;
    return sum;
  }
  const std::string& host() const { return host_of(rank); }
  const std::string& host_of(int which) const { return hosts[static_cast<std::size_t>(which)]; }
};

/// Sends frames to any engine or user process of the job, in order per destination, without blocking.
class Router {
 public:
  /// `payload` follows `fixed` in the frame. Unless `head.from` names a link, the frame is from this engine.
  virtual void send(wire::Header head, std::span<const std::byte> fixed, const link::PayloadView& payload = {}) = 0;
  virtual const Layout& layout() const = 0;

 protected:
  ~Router() = default;
};

}  // namespace rankpool::engine
