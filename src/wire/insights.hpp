// The numbers of a pool as they travel.
#pragma once

#include <cstdint>

#include "wire/messages.hpp"

namespace rankpool::wire {

/// pool_ask.
struct PoolAsk {
  std::uint64_t request = 0;  ///< token of the answer
};

/// pool_numbers, and pool_ended; then a RankInsights for each of `ranks`. The fields are those of rankpool::Insights,
/// times in ns.
struct PoolInsights {
  std::uint64_t submitted = 0;
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t cancelled = 0;
  std::uint64_t under_way = 0;  ///< sent to a rank and not reported
  std::uint64_t lost = 0;
  std::uint64_t lost_for_good = 0;  ///< whose task was not run again
  std::uint64_t workers_started = 0;
  std::uint64_t longest = 0;
  std::uint64_t elapsed = 0;
  std::uint64_t ranks = 0;
};
struct RankInsights {
  std::int32_t rank = 0;
  std::int32_t workers = 0;
  std::uint64_t tasks = 0;
  std::uint64_t working = 0;
  HostName host{};
};

}  // namespace rankpool::wire
