// The operations of an Event.
#pragma once

#include <cstdint>

namespace rankpool::wire {

enum class EventOp : std::uint32_t {
  is_set,  ///< ok or no
  set,
  clear,
  wait,  ///< ok once it is set
};

}  // namespace rankpool::wire
