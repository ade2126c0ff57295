// How user processes reach the words of locks, semaphores, values and arrays.
#pragma once

#include <cstdint>

namespace rankpool::wire {

/// Chosen at the start, the same for the whole job: two ways never mix on one word.
enum class WindowMode : std::uint32_t {
  direct,     ///< every user process maps the windows and uses atomics of the CPU: all ranks are on one host
  one_sided,  ///< the engines use MPI's one-sided operations
  messages,   ///< the home engine is asked
};

}  // namespace rankpool::wire
