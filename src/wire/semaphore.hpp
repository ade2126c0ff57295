// The operations of a semaphore.
#pragma once

#include <cstdint>

#include "wire/objects.hpp"

namespace rankpool::wire {

enum class SemaphoreOp : std::uint32_t {
  where,        ///< the answer is a Place; `full`: there is no room
  acquire,      ///< ok with a SemaphoreTaken once it could be lowered
  try_acquire,  ///< ok or no
  release,      ///< SemaphoreRelease; full, with nothing changed, if that were more than the most
  value,        ///< ok with a SemaphoreValue
  received,     ///< SemaphoreReceived
  grant,        ///< SemaphoreRelease, without an answer: so much was released for those who wait (one-sided windows)
};

inline constexpr std::uint32_t semaphore_max = 0x7fffffff;

/// After object_make.
struct SemaphoreMake {
  std::uint32_t value = 0;
  std::uint32_t most = semaphore_max;
};
struct SemaphoreRelease {
  std::uint32_t count = 0;
};
/// A whole grant.
struct SemaphoreGrant {
  ObjectRequest request{};
  SemaphoreRelease released{};
  std::uint32_t reserved = 0;
};
struct SemaphoreValue {
  std::uint32_t value = 0;
};
/// `waited`: the caller says `received`, for it may have died before it could.
struct SemaphoreTaken {
  std::uint32_t waited = 0;
};
struct SemaphoreReceived {
  std::uint64_t request = 0;
};

}  // namespace rankpool::wire
