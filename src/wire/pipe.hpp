// The operations of an end of a pipe, and what its home tells its owner.
#pragma once

#include <cstdint>

namespace rankpool::wire {

enum class PipeOp : std::uint32_t {
  own,       ///< PipeOwn: the asking process reads from now on
  leave,     ///< PipeConsumed: it does not any more; somebody else will
  send,      ///< PipeMessage, then the message; ok once there is room for more, or closed
  consumed,  ///< PipeConsumed
  sync,      ///< PipeConsumed; answered behind everything that the owner can have now
  close,     ///< nobody uses this end any more
  room,      ///< ok once there is room for another message, or closed; nothing is sent
};

enum class PipeNote : std::uint32_t {
  start,        ///< PipeStart: what the owner has had of this end before holds no longer
  message,      ///< PipeMessage, then the message
  peer_closed,  ///< PipeEndNote: the other end is closed
  taken,        ///< another process reads now
};

/// What object_make says about an end.
struct PipeMake {
  std::uint64_t peer = 0;  ///< number of the other end; 0: that one is made later
};
struct PipeOwn {
  std::uint64_t turn = 0;  ///< of this process; comes back with PipeStart
};
struct PipeConsumed {
  std::uint64_t count =
      0;  ///< messages of this end that were ever taken out; what the home knows better does not count
};
struct PipeStart {
  std::uint64_t turn = 0;
  std::uint64_t first = 0;  ///< number of the next message
};
struct PipeEndNote {
  std::uint64_t count = 0;  ///< messages of this end in all
};
/// A message: the name of its type, the value, and the Pins of the handles in it.
struct PipeMessage {
  std::uint64_t count =
      0;  ///< to the home: as in PipeConsumed, of the sender's end; to the owner: number of the message
  std::uint64_t type = 0;
  std::uint32_t name_bytes = 0;
  std::uint32_t objects = 0;
};

}  // namespace rankpool::wire
