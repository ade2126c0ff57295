// The operations of a Condition.
#pragma once

#include <cstdint>

namespace rankpool::wire {

/// A caller stands in the line before it gives its lock away, so a notification cannot fall between the two; hence one
/// question for its place and another for the notification.
enum class ConditionOp : std::uint32_t {
  enter,   ///< ok and a ConditionTicket, at once: the caller waits from now on
  await,   ///< ConditionTicket; ok once it was notified
  leave,   ///< ConditionTicket; the caller does not wait any more
  notify,  ///< ConditionNotify
};

/// A place in the line: the answer to `enter`.
struct ConditionTicket {
  std::uint64_t number = 0;
};
struct ConditionNotify {
  std::uint64_t count = 0;  ///< so many of those who wait, the longest waiting first
};

}  // namespace rankpool::wire
