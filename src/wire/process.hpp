// What is said about Processes.
#pragma once

#include <cstdint>

#include "wire/messages.hpp"

namespace rankpool::wire {

/// process_start; then the callable and its arguments.
struct ProcessStart {
  Who parent;
  std::int32_t rank;  ///< -1: where there is room
  std::uint32_t is_daemon;
  std::uint32_t tell_ready;  ///< the parent keeps something until the call has been decoded
  std::uint32_t reserved;
  ProcessName name;
  ProcessName number;
};
/// process_spawn; then the callable and its arguments.
struct ProcessSpawn {
  std::uint64_t token;  ///< the parent's
  ProcessStart start;
};
/// process_started.
struct ProcessStarted {
  std::int32_t rank;
  std::uint32_t link;
  std::int32_t pid;
  std::uint32_t reserved;
  HostName host;
};
/// process_failed: it could not be forked; or, after process_started too, its rank is lost, and it with that.
struct ProcessFailed {
  std::int32_t rank;
  std::int32_t error;  ///< errno; 0: the rank is lost
  HostName host;
};
/// process_ask.
struct ProcessAsk {
  std::uint32_t link;
};

}  // namespace rankpool::wire
