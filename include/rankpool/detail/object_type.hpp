// The kinds of shared objects.
#pragma once

#include <cstdint>

namespace rankpool::detail {

enum class ObjectType : std::uint32_t {
  none,
  event,
  barrier,
  condition,
  queue,
  pipe_end,
  lock,
  recursive_lock,
  semaphore,
  value,
  array,
  dict,
  list,
  space,
  shared,
};

}  // namespace rankpool::detail
