// The operations of a Barrier.
#pragma once

#include <cstdint>

namespace rankpool::wire {

enum class BarrierOp : std::uint32_t {
  wait,   ///< ok and a BarrierPlace once all have come; or broken
  abort,  ///< broken until reset
  reset,  ///< whoever waits is told that it broke; then it is as new
  state,  ///< ok and a BarrierState
};

/// object_make.
struct BarrierMake {
  std::int32_t parties = 0;
};
/// The answer to `wait`: 0 for exactly one of those who met.
struct BarrierPlace {
  std::int32_t place = 0;
};
/// The answer to `state`.
struct BarrierState {
  std::int32_t parties = 0;
  std::int32_t waiting = 0;
  std::uint32_t broken = 0;
};

}  // namespace rankpool::wire
